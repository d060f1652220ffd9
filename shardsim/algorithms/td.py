"""V alone learns from reward; D learns by self-supervision if at all."""

import dataclasses
from typing import ClassVar, Literal


@dataclasses.dataclass(frozen=True)
class TD:
    """TD(lambda) of V on the agent's own acting."""

    HYPER: ClassVar[tuple[str, ...]] = ()

    kind: Literal["td"] = "td"
