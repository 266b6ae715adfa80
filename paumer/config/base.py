"""What all sections of the configuration share."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from paumer.errors import PaumerError
from paumer.hints import explain

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Size = tuple[int, int]


class Section(BaseModel):
    """A part of the configuration. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def positive_size(size: Size) -> Size:
    """Refuse sides below 1."""
    if min(size) < 1:
        raise ValueError("must be [height, width], both 1 or more")
    return size


def different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse lists that name something twice."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"{value!r} stands there twice; name each once")
    return values


def parse(model: type[Section], content: Any, origin: str) -> Any:
    """Validate `content` as `model`.

    Raises:
        PaumerError: one line that names `origin`, the key at fault and what is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise PaumerError(explain(error, model, origin)) from None
    except PaumerError as error:
        raise PaumerError(f"{origin}: {error}") from None
