"""Operating points and schedules as types of the configuration: text in files, read once when they are loaded."""

from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint, operating_point

AS_TEXT = WithJsonSchema({"type": "string"})


def read_schedule_of(strategy: str, given: object) -> OperatingPoint:
    """The operating point of a schedule of this strategy, with its usual criterion.

    Raises:
        PaumerError: the schedule is none of the strategy.
    """
    return given if isinstance(given, OperatingPoint) else operating_point(strategy, "", _text(given))


def _read_schedule(given: object) -> Schedule:
    return given if isinstance(given, Schedule) else Schedule(_text(given))


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError(f"{given!r} is no schedule; write it like '3:0.4'")
    return given


def _schedule_text(point: OperatingPoint) -> str:
    return point.schedule


# Of fractions, and of a strategy that another key names: fields of this type bring a validator with `read_schedule_of`.
ScheduleText = Annotated[InstanceOf[Schedule], BeforeValidator(_read_schedule), PlainSerializer(str), AS_TEXT]
ScheduleOf = Annotated[InstanceOf[OperatingPoint], PlainSerializer(_schedule_text), AS_TEXT]
