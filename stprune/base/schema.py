"""The base of every schema: closed at each level, with one-line errors and a did-you-mean."""

from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from stprune.base.errors import ConfigError, UnknownNameError
from stprune.base.text import LARGEST_YAML, control_character, parse_yaml


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys; a number may be text, as YAML reads ``1e-3``."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        """Refuse an unknown key before a misspelt one also counts as missing."""
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(str(UnknownNameError("key", str(key), cls.model_fields)))
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``true`` for a number, as which it would be 1, and control characters."""
        if (character := control_character(value)) is not None:
            raise ValueError(f"text must not hold control characters such as {character}")
        entries = value if isinstance(value, list | tuple) else [value]
        field = cls.model_fields[str(info.field_name)]
        if any(isinstance(entry, bool) for entry in entries) and _is_number(field.annotation):
            raise ValueError("must be a number, not true or false")
        return value


class NoOptions(StrictModel):
    """For a component that has nothing to choose."""


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], values: Any, where: str) -> Model:
    """Check ``values`` against ``model``, or raise a ConfigError that begins with ``where``."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first, *others = error.errors()
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        value = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"
        more = f" (and {len(others)} more)" if others else ""
        place = f"{where}: `{key}`" if key else where
        raise ConfigError(f"{place}: {message}{value}{more}") from None


def read_yaml(path: Path) -> Any:
    """Read one YAML file safely, or raise a ConfigError."""
    try:
        with path.open(encoding="utf-8") as file:
            return parse_yaml(file.read(LARGEST_YAML + 1))
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None


def _is_number(annotation: Any) -> bool:
    """Whether a field holds numbers: plain, optional, or in a list."""
    return annotation in (int, float) or any(map(_is_number, get_args(annotation)))
