"""TD(lambda): V alone learns from reward. Self-supervised losses may train D."""

from typing import ClassVar, Literal

from shardsim.core import fields


@fields.record
class TD:
    """TD(lambda) of V on the agent's own behaviour; D is not trained by reward."""

    HYPER: ClassVar[tuple[str, ...]] = ()
    """Fields that a sweep may vary."""

    kind: Literal["td"] = "td"
