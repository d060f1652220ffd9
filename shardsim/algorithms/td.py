"""V alone learns from reward; D learns by self-supervision if at all."""

from typing import ClassVar, Literal

from shardsim.core import fields


@fields.record
class TD:
    """TD(lambda) of V on the agent's own behaviour; D is not trained by reward."""

    HYPER: ClassVar[tuple[str, ...]] = ()

    kind: Literal["td"] = "td"
