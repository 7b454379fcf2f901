"""Operators: see which models are here, fetch a recommended one, and choose one for the scene."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.props import EnumProperty

from ..backend.bridge.errors import UserError
from ..backend.bridge.models.catalogue import CATALOGUE, FAMILIES, KINDS, Entry, find_entry
from ..backend.bridge.models.library import STARTER, Found, find_models, hub_cache, look
from ..preferences import preferences
from .errands import Sender, online_problem
from .reporting import attempt
from .versions import panel_scene
from .words import draw_in_dialog

DIALOG = 520  # pixels that the dialog is wide, at an interface scale of 1
# Which setting takes a model of a kind, by its first free place.
PLACES = {
    "model": ("model",),
    "controlnet": ("controlnet", "controlnet_2"),
    "lora": ("lora", "lora_2", "lora_3"),
    "style": ("style_adapter",),
    "preview": ("tiny_autoencoder",),
}


class Library:
    """The models that were found when somebody last looked; panels draw these."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.fetching = Sender("backend.bridge.models", self.refresh)

    def refresh(self) -> None:
        """Look at the disk again: a second or so where there are many models."""
        folder = preferences().models_folder
        self.found = find_models([Path(bpy.path.abspath(folder))] if folder else [])

    def has(self, entry: Entry) -> bool:
        """Return whether ``entry`` was fetched whole, by whatever program."""
        return any(entry.is_called(each.label) and not each.problem for each in self.found)


_library = Library()


def current() -> Library:
    """Return this Blender's library."""
    return _library


def use_model(scene: bpy.types.Scene, path: Path) -> None:
    """Let the scene's method use the model at ``path``, in the first place for its kind that is free, else the last.

    The starter is used by naming no model. UserError where it cannot run, or the method takes none of its kind.
    """
    model = look(path)
    if model.problem:
        raise UserError(model.problem)
    homes = scene.tempera.homes
    places = [name for name in PLACES.get(model.kind, ()) if name in homes]
    if not places:
        raise UserError(f"{model.label} has no place in this method. Choose another method.")
    place = next((name for name in places if not getattr(homes[name], name)), places[-1])
    if place == "model" and path.is_file():
        homes["base_model"].base_model = str(_base_of(model))
    setattr(homes[place], place, "" if path == STARTER else str(path))
    control = next((entry.control for entry in CATALOGUE if entry.is_called(model.label)), "")
    if control:
        kind = place.replace("controlnet", "control")
        setattr(homes[kind], kind, control)


def _base_of(model: Found) -> Path:
    """Return a diffusers folder of the same family: a single file holds weights alone, and needs its layout."""
    for each in _library.found:
        if each.path.is_dir() and each.path != STARTER and (each.kind, each.family) == ("model", model.family):
            return each.path
    known = next((entry.label for entry in CATALOGUE if (entry.kind, entry.family) == ("model", model.family)), "")
    wanted = f"Fetch {known} first" if known else "Put one into the models folder"
    raise UserError(f"{model.label} is a single file, and needs a diffusers folder of its family beside it. {wanted}.")


_items: list[tuple[str, str, str]] = []  # Blender keeps no reference to the texts of an enumeration


def _here(_operator: bpy.types.Operator, _context: bpy.types.Context) -> list[tuple[str, str, str]]:
    _items[:] = [
        (str(each.path), f"{KINDS[each.kind]}: {each.label}", each.problem or FAMILIES.get(each.family, each.family))
        for each in _library.found
        if each.kind in PLACES
    ]
    return _items


class TEMPERA_OT_choose_model(bpy.types.Operator):
    """Choose a model, a ControlNet, a LoRA or a style adapter among those that are here."""

    bl_idname = "tempera.choose_model"
    bl_label = "Choose Model"
    bl_description = "Choose a model, a ControlNet, a LoRA or a style adapter among those that are here"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    bl_property = "choice"

    choice: EnumProperty(name="Model", description="A model that is here", items=_here, options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask, by name."""
        if attempt(self, _library.refresh) == {"CANCELLED"}:
            return {"CANCELLED"}
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Use it."""
        return attempt(self, lambda: use_model(panel_scene(context), Path(self.choice)))


class TEMPERA_OT_refresh_models(bpy.types.Operator):
    """Look for models again."""

    bl_idname = "tempera.refresh_models"
    bl_label = "Look for Models"
    bl_description = "Look for models in the shared cache and in the models folder"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Look."""
        return attempt(self, _library.refresh)


class TEMPERA_OT_download_model(bpy.types.Operator):
    """Fetch a recommended model into the folder that other programs share."""

    bl_idname = "tempera.download_model"
    bl_label = "Download Model"
    bl_description = "Fetch a recommended model into the folder that other programs share"
    bl_options: ClassVar = {"INTERNAL"}

    identifier: EnumProperty(
        name="Model",
        description="The model to fetch",
        items=[(entry.identifier, entry.label, entry.good_for) for entry in CATALOGUE],
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask, with its size and its licences."""
        return context.window_manager.invoke_props_dialog(self, width=DIALOG)

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw what consent is given to."""
        layout, entry = self.layout, find_entry(self.identifier)
        layout.prop(self, "identifier")
        for text in terms(entry) if entry else ():
            draw_in_dialog(layout, text, DIALOG)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Begin."""
        if problem := online_problem():
            self.report({"ERROR"}, rpt_(problem))
            return {"CANCELLED"}
        return attempt(self, lambda: _library.fetching.send(["get", self.identifier, "--cache", str(hub_cache())]))


def terms(entry: Entry) -> list[str]:
    """Return what an artist agrees to by fetching ``entry``, as lines."""
    return [
        f"{rpt_(entry.good_for)}.",
        rpt_("{size:.2f} GB from huggingface.co/{repository} to {folder}").format(
            size=entry.size / 1e9, repository=entry.repository, folder=hub_cache()
        ),
        rpt_("Weights: {licence}").format(licence=entry.weights),
        rpt_("Code: {licence}").format(licence=entry.code),
    ]


class TEMPERA_OT_cancel_download(bpy.types.Operator):
    """Stop fetching a model."""

    bl_idname = "tempera.cancel_download"
    bl_label = "Cancel"
    bl_description = "Stop; what has arrived is kept, and the next try goes on from there"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Stop."""
        return attempt(self, _library.fetching.cancel)


classes = (
    TEMPERA_OT_choose_model,
    TEMPERA_OT_refresh_models,
    TEMPERA_OT_download_model,
    TEMPERA_OT_cancel_download,
)


def unregister() -> None:
    """Stop a fetch."""
    _library.fetching.close()
