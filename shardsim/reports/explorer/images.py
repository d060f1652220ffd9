"""Small pictures of levels and of the things in them, as data URIs."""

import base64
import io
from typing import Any

import jax
import numpy as np
from PIL import Image

from shardsim_envs.rendering import drawing, sprites

ZOOM = 4
"""Pixels for a pixel of a sprite."""


def uri(pixels: np.ndarray) -> str:
    """An image, with or without alpha, as a data URI."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def level(world: Any, found: Any) -> str:
    """The level as its world draws it; empty where it doesn't."""
    try:
        return uri(drawing.frame(world, jax.tree.map(np.asarray, found), scale=1))
    except (AttributeError, TypeError):
        return ""


def thing(name: str) -> str:
    """The sprite of a thing, on nothing."""
    drawn = sprites.sprite("agent" if name == "start" else name)
    alpha = np.where(drawn.mask, 255, 0).astype(np.uint8)
    picture = np.concatenate([drawn.colour, alpha[..., None]], axis=-1)
    return uri(picture.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1))
