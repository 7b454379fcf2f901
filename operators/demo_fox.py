"""The fox of the demo shot: its limbs, its bones and its walk. Metres; it faces -y and stands on z = 0."""

from __future__ import annotations

import math
from collections.abc import Callable

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from .demo_body import Limb, body_mesh, limb_weights, onto_surface, skin, union
from .demo_kit import Point, Shape, colour, key_every_frame, paint_material, place, smoothstep

CYCLE = 1.0  # seconds for a left and a right step
STANCE = 0.6  # share of the cycle that a foot stands
SPEED = 0.72  # metres a second
HIP = 0.42  # height of the top of a leg

ORANGE, CREAM, BROWN, INK = colour("#EE7B22"), colour("#FFF1D8"), colour("#57301F"), colour("#1D1512")
TEAL, GOLD, BLUSH = colour("#178387"), colour("#F4C64E"), colour("#F3A07C")

MIDDLE = [
    Limb("hips", ORANGE, (0, 0.02, 0.50), (0, 0.02, 0.62), 0.27, 0.255),
    Limb("chest", ORANGE, (0, 0.02, 0.70), (0, 0.02, 0.88), 0.235, 0.18),
    Limb("hips", CREAM, (0, -0.10, 0.50), (0, -0.10, 0.60), 0.20, 0.19),
    Limb("chest", CREAM, (0, -0.09, 0.66), (0, -0.07, 0.86), 0.18, 0.14),
    Limb("head", ORANGE, (-0.13, 0, 1.27), (0.13, 0, 1.27), 0.335, 0.335),
    Limb("head", CREAM, (0, -0.26, 1.15), (0, -0.43, 1.13), 0.15, 0.075),
    Limb("tail1", ORANGE, (0, 0.22, 0.46), (0, 0.46, 0.48), 0.085, 0.13),
    Limb("tail2", ORANGE, (0, 0.50, 0.50), (0, 0.72, 0.70), 0.15, 0.185),
    Limb("tail3", ORANGE, (0, 0.74, 0.74), (0, 0.76, 0.92), 0.185, 0.15),
    Limb("tail3", CREAM, (0, 0.76, 0.98), (0, 0.70, 1.20), 0.145, 0.03),
]
LEFT = [
    Limb("head", CREAM, (0.24, -0.14, 1.13), (0.36, -0.09, 1.13), 0.15, 0.07),
    Limb("ear.L", ORANGE, (0.23, 0.03, 1.48), (0.31, 0.05, 1.70), 0.15, 0.085),
    Limb("ear.L", BROWN, (0.325, 0.05, 1.74), (0.36, 0.06, 1.86), 0.075, 0.02),
    Limb("ear.L", BLUSH, (0.265, -0.03, 1.61), (0.305, 0.005, 1.71), 0.06, 0.03),
    Limb("arm.L", ORANGE, (0.19, 0.01, 0.88), (0.34, 0.0, 0.72), 0.075, 0.075),
    Limb("hand.L", BROWN, (0.40, -0.01, 0.655), (0.45, -0.02, 0.60), 0.082, 0.09),
    Limb("leg.L", ORANGE, (0.14, 0.02, 0.42), (0.145, 0.02, 0.30), 0.135, 0.105),
    Limb("leg.L", BROWN, (0.145, 0.02, 0.24), (0.15, 0.02, 0.12), 0.095, 0.085),
    Limb("foot.L", BROWN, (0.15, 0.02, 0.085), (0.155, -0.13, 0.08), 0.085, 0.08),
]
LIMBS = [*MIDDLE, *LEFT, *(limb.mirrored() for limb in LEFT)]

Motion = Callable[[float], tuple[float, float, float]]

# bone: (parent, head). Bones point straight up; the legs point down to the foot that they stretch to.
BONES: dict[str, tuple[str, Point]] = {
    "hips": ("", (0, 0, 0.50)),
    "chest": ("hips", (0, 0, 0.66)),
    "head": ("chest", (0, 0, 1.00)),
    "tail1": ("hips", (0, 0.22, 0.46)),
    "tail2": ("tail1", (0, 0.48, 0.49)),
    "tail3": ("tail2", (0, 0.74, 0.72)),
    "scarf1": ("chest", (-0.12, 0.20, 0.96)),
    "scarf2": ("scarf1", (-0.32, 0.44, 0.70)),
}
for _side, _sign in ((".L", 1), (".R", -1)):
    BONES["ear" + _side] = ("head", (_sign * 0.22, 0.03, 1.46))
    BONES["arm" + _side] = ("chest", (_sign * 0.19, 0.01, 0.88))
    BONES["hand" + _side] = ("arm" + _side, (_sign * 0.37, 0.0, 0.69))
    BONES["foot" + _side] = ("", (_sign * 0.15, 0.02, 0.09))
    BONES["leg" + _side] = ("hips", (_sign * 0.14, 0.02, HIP))


def add_fox(scene: bpy.types.Scene, start: Point, heading: float) -> bpy.types.Object:
    """Add a walking fox and return its armature, to which body, face and scarf are bound.

    ``start`` is where it stands in the first frame, ``heading`` the angle in radians that turns -y into its way.
    """
    armature = add_armature(scene)
    body = place(scene, "Fox", body_mesh("Fox", LIMBS), paint_material("Fox Fur", 9.0, 0.2))
    points = np.array([vertex.co for vertex in body.data.vertices])
    skin(body, armature, limb_weights(LIMBS, points))
    face = add_part(scene, armature, "Fox Face", face_shape(), paint_material("Fox Face", 9.0, 0.1, 0.15))
    add_blink(scene, face)
    add_part(scene, armature, "Fox Scarf", scarf_shape(), paint_material("Fox Scarf", 14.0, 0.3))
    walk(scene, armature, start, heading)
    return armature


def add_part(
    scene: bpy.types.Scene, armature: bpy.types.Object, name: str, shape: Shape, material: bpy.types.Material
) -> bpy.types.Object:
    """Add an object whose points each follow one bone, as the shape's groups say."""
    part = place(scene, name, shape.mesh(name), material)
    bones = np.array(shape.groups)
    skin(part, armature, {bone: (bones == bone).astype(float) for bone in dict.fromkeys(shape.groups)})
    return part


def add_armature(scene: bpy.types.Scene) -> bpy.types.Object:
    """Add the fox's armature in its rest pose, each leg stretched between the hips and a foot that moves freely."""
    data = bpy.data.armatures.new("Fox Rig")
    armature = place(scene, "Fox Rig", data)
    layer = scene.view_layers[0]
    layer.objects.active = armature
    with bpy.context.temp_override(scene=scene, view_layer=layer, active_object=armature, object=armature):
        bpy.ops.object.mode_set(mode="EDIT")  # bones can be made in edit mode only
        for name, (parent, head) in BONES.items():
            bone = data.edit_bones.new(name)
            bone.head = head
            bone.tail = BONES["foot" + name[-2:]][1] if name.startswith("leg") else Vector(head) + Vector((0, 0, 0.15))
            bone.roll = 0.0
            bone.parent = data.edit_bones[parent] if parent else None
        bpy.ops.object.mode_set(mode="OBJECT")
    for side in (".L", ".R"):
        stretch = armature.pose.bones["leg" + side].constraints.new("STRETCH_TO")
        stretch.target, stretch.subtarget = armature, "foot" + side
        stretch.rest_length = data.bones["leg" + side].length
        stretch.volume = "NO_VOLUME"
    armature.hide_render = True
    return armature


def face_shape() -> Shape:
    """Make eyes with a glint, nose and smile."""
    shape = Shape(bone="head")
    for sign in (-1, 1):
        shape.ball((sign * 0.165, -0.295, 1.315), (0.064, 0.06, 0.098), INK, 16, 10)
        shape.ball((sign * 0.165 + 0.022, -0.352, 1.355), (0.02, 0.012, 0.026), colour("#FFFFFF"), 8, 6)
    shape.ball((0, -0.495, 1.165), (0.055, 0.042, 0.042), INK, 14, 8)
    angles = np.radians(np.linspace(200, 340, 11))
    smile = np.stack([0.085 * np.cos(angles), np.full(11, -0.45), 1.135 + 0.075 * np.sin(angles)], 1)
    for _ in range(3):
        smile = onto_surface(lambda points: union(LIMBS, points), smile)
    shape.tube(smile, [0.010] * len(smile), INK, 6)
    return shape


def add_blink(scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    """Close the eyes for a moment, by a shape key that flattens them."""
    face.shape_key_add(name="Open", from_mix=False)
    blink = face.shape_key_add(name="Blink", from_mix=False)
    for point in blink.data:
        if point.co.z > 1.21:
            point.co.z = 1.30 + 0.14 * (point.co.z - 1.315)
    key_every_frame(blink, "value", scene, lambda t: max(0.0, 1.0 - abs(t - 0.42) / 0.11))


def scarf_shape() -> Shape:
    """Make a striped ring round the neck and an end that hangs at the back."""
    shape = Shape(bone="chest")
    turns = np.linspace(0, 2 * math.pi, 29)
    ring = [(0.245 * math.cos(a), 0.245 * math.sin(a) - 0.005, 0.965 + 0.02 * math.sin(a)) for a in turns]
    shape.tube(ring, [0.095] * len(ring), [TEAL, TEAL, GOLD, TEAL], 12, flat=0.9)
    end = [(-0.12 - 0.05 * k, 0.20 + 0.06 * k, 0.96 - 0.045 * k - 0.006 * k * k) for k in range(9)]
    shape.tube(end, [0.035 + 0.004 * k for k in range(9)], [TEAL] * 16 + [GOLD] * 8, 8, flat=2.6)
    shape.groups[-72:] = ["scarf1"] * 40 + ["scarf2"] * 32
    return shape


def step(phase: float) -> tuple[float, float, float]:
    """Return (y, lift, pitch) of a foot at ``phase`` 0..1 of its cycle: it stands on the ground, then swings forward.

    While it stands, y grows at exactly the walking speed, so that the foot of a body walking along -y does not slide.
    """
    half = SPEED * STANCE * CYCLE / 2
    if phase < STANCE:
        return SPEED * CYCLE * phase - half, 0.0, 0.0
    swing = math.pi * (phase - STANCE) / (1 - STANCE)
    return half * math.cos(swing), 0.12 * math.sin(swing), 0.5 * math.sin(2 * swing)


def wave(t: float, peak: float, times: int = 1) -> float:
    """Return a cosine that peaks at the share ``peak`` of the walk cycle, ``times`` a cycle."""
    return math.cos(2 * math.pi * times * (t / CYCLE - peak))


def greeting(t: float) -> float:
    """Return 0 while the fox just walks, 1 while it turns to us and waves."""
    return float(smoothstep(1.2, 1.55, t))


def foot(t: float, offset: float) -> tuple[float, float, float]:
    """Return the step of the foot that runs ``offset`` cycles ahead."""
    return step((t / CYCLE + offset) % 1.0)


# how far a bone moves at a time in seconds, along the armature's axes
OFFSETS: dict[str, Motion] = {
    "hips": lambda t: (0.03 * wave(t, 0.30), 0, -0.03 * wave(t, 0.05, 2)),
    "foot.L": lambda t: (0, *foot(t, 0.0)[:2]),
    "foot.R": lambda t: (0, *foot(t, 0.5)[:2]),
}
# what a bone turns by at a time in seconds: radians about the armature's x (nod), y (roll) and z (yaw)
ANGLES: dict[str, Motion] = {
    "foot.L": lambda t: (foot(t, 0.0)[2], 0, 0),
    "foot.R": lambda t: (foot(t, 0.5)[2], 0, 0),
    "hips": lambda t: (-0.04, 0.05 * wave(t, 0.30), 0.12 * wave(t, 0.05)),
    "chest": lambda t: (
        0.03 * wave(t, 0.1, 2),
        -0.06 * wave(t, 0.30),
        -0.22 * wave(t, 0.05) - 0.15 - 0.45 * greeting(t),
    ),
    "head": lambda t: (
        0.05 * wave(t, 0.2, 2),
        0.06 * wave(t, 0.35) + 0.10 * greeting(t),
        0.12 * wave(t, 0.05) - 0.42 + 0.20 * greeting(t),
    ),
    "ear.L": lambda t: (0.10 * wave(t, 0.15, 2), 0.06 * wave(t, 0.2, 2), 0),
    "ear.R": lambda t: (0.10 * wave(t, 0.15, 2), -0.06 * wave(t, 0.2, 2), 0),
    "tail1": lambda t: (0.08 * wave(t, 0.1, 2), 0, 0.28 * wave(t, 0.45)),
    "tail2": lambda t: (0.08 * wave(t, 0.2, 2), 0, 0.30 * wave(t, 0.58)),
    "tail3": lambda t: (0.06 * wave(t, 0.3, 2), 0, 0.34 * wave(t, 0.72)),
    "scarf1": lambda t: (0.15 + 0.15 * wave(t, 0.2, 2), 0, 0.2 * wave(t, 0.5)),
    "scarf2": lambda t: (0.10 + 0.25 * wave(t, 0.33, 2), 0, 0.25 * wave(t, 0.65)),
    "arm.R": lambda t: (0.65 * wave(t, 0.05), 0, 0),
    "hand.R": lambda t: (-0.25 + 0.2 * wave(t, 0.5), 0, 0),
    "arm.L": lambda t: (-0.65 * wave(t, 0.05) * (1 - greeting(t)), -1.15 * greeting(t), 0),
    "hand.L": lambda t: (-0.25 * (1 - greeting(t)), greeting(t) * (-0.3 - 0.5 * math.sin(15 * t)), 0),
}


def walk(scene: bpy.types.Scene, armature: bpy.types.Object, start: Point, heading: float) -> None:
    """Key the whole walk: the way of the armature and the pose of every bone."""
    ahead = Matrix.Rotation(heading, 3, "Z") @ Vector((0, -SPEED, 0))
    armature.rotation_euler = (0, 0, heading)
    key_every_frame(armature, "location", scene, lambda t: Vector(start) + t * ahead)
    for name, bone in armature.pose.bones.items():
        key_pose(scene, bone, OFFSETS.get(name), ANGLES.get(name))


def key_pose(scene: bpy.types.Scene, bone: bpy.types.PoseBone, offset: Motion | None, angles: Motion | None) -> None:
    """Key how a bone moves and turns; both are given about the armature's axes, and kept about the bone's own."""
    rest = bone.bone.matrix_local.to_quaternion()
    back = rest.inverted()
    if offset:
        key_every_frame(bone, "location", scene, lambda t: back @ Vector(offset(t)))
    if angles:
        key_every_frame(bone, "rotation_quaternion", scene, lambda t: back @ Euler(angles(t)).to_quaternion() @ rest)
