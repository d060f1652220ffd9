"""Small images of levels and of the objects in them, as data URIs."""

import base64
import io
from typing import Any

import jax
import numpy as np
from PIL import Image

from shardsim_envs import tables
from shardsim_envs.rendering import drawing, sprites

ZOOM = 4
"""Pixels of the image for a pixel of the sprite."""


def uri(pixels: np.ndarray) -> str:
    """An image, with or without alpha, as a data URI."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def level(env: Any, one: Any) -> str:
    """The level as its environment renders it; empty where it has no renderer."""
    if isinstance(env, tables.TableWorld):
        picture = env.picture(one)
        return "" if picture is None else uri(picture)
    try:
        return uri(drawing.frame(env, jax.tree.map(np.asarray, one), scale=1))
    except (AttributeError, TypeError):
        return ""


def sprite(name: str) -> str:
    """The sprite of an object, with a transparent background."""
    drawn = sprites.sprite("agent" if name == "start" else name)
    alpha = np.where(drawn.mask, 255, 0).astype(np.uint8)
    picture = np.concatenate([drawn.colour, alpha[..., None]], axis=-1)
    return uri(picture.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1))
