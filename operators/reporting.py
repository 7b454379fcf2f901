"""What operators share: what goes wrong becomes one sentence, and what cannot be brought back is asked about first."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..backend.bridge.errors import UserError
from .sentences import translated


def attempt(operator: bpy.types.Operator, act: Callable[[], object]) -> set[str]:
    """Do what an operator is for; return {"FINISHED"}, or report the reason and return {"CANCELLED"}."""
    try:
        act()
    except UserError as error:
        operator.report({"ERROR"}, translated(str(error)))
    except Exception as error:  # noqa: BLE001 - the boundary: the console gets the traceback, the artist a sentence
        traceback.print_exc()
        sentence = rpt_("Tempera met an error of its own ({error}). See the system console.")
        operator.report({"ERROR"}, sentence.format(error=error))
    else:
        return {"FINISHED"}
    return {"CANCELLED"}


class AsksFirst:
    """Mixed into the operators that delete what cannot be brought back."""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask whether it is meant."""
        return context.window_manager.invoke_confirm(self, event)
