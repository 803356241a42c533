"""What a demand file says beside workloads: what is held, allowed, agreed and shared."""

from __future__ import annotations

from dataclasses import KW_ONLY, field
from typing import Annotated, Any

from pydantic import model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema

from cloudarb_lib.allocate.demand.sentences import without_sentences
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import Flag, Names, NotNegative, Positive, Share, Text, key, record


@record
class Commitment:
    """Instances of a machine held already, paid for every hour of the plan, used or not."""

    machine: Annotated[
        Text, key("provider/region/instance type", example="gcp/us-central1/a3-highgpu-8g")
    ]
    instances: Annotated[
        Positive, key("how many are held", example="6", unit="instance", multiple_of=1)
    ]
    usd_per_hour: Annotated[
        NotNegative,
        key(
            "of each, as contracted; 0: paid for already",
            example="55",
            unit="USD per instance-hour",
        ),
    ]
    gpus_each: Annotated[
        Positive | None,
        key(
            "what a machine holds, where neither an offer nor the list of machines tells",
            example="8 H100",
            unit="GPU per instance",
        ),
    ] = None
    gpu_model: SkipJsonSchema[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _read_sentences(cls, given: Any) -> Any:
        return without_sentences(given, ["gpus_each"]) if isinstance(given, dict) else given


@record
class Placement:
    """Machines on which a workload runs now: the plan pays for each machine beyond these."""

    workload: Annotated[Text, key("its name", example="train-llm")]
    offer: Annotated[
        Text,
        key(
            "provider/region/zone/instance type/option/term, as in table offers; empty parts stay "
            "empty",
            example="gcp/us-east4//a3-highgpu-8g/spot/",
        ),
    ]
    instances: Annotated[
        Positive, key("how many run there", example="4", unit="instance", multiple_of=1)
    ]


@record
class DemandScenario:
    """A future of the demand: commitments are the same in all, the rest is chosen in each."""

    name: Annotated[
        str, key("stands in the plan behind names of workloads", example="surge", alias="scenario")
    ]
    probability: Annotated[Share, key("of this future", example="0.3", unit="share")]
    factors: Annotated[
        dict[str, NotNegative],
        key(
            "by what the need of each workload is multiplied there; of others it stays",
            example="{train-llm: 2}",
            alias="times",
        ),
    ] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """What tells its workloads from those of other futures."""
        return f" in {self.name}" if self.name else ""


_ALL = ("*",)


def _patterns(about: str, *, example: str) -> FieldInfo:
    """Return the field of shell patterns on something that is known of an offer."""
    return key(f"shell patterns {about}", example=example, without="all", min_length=1)


@record
class Scope:
    """Which offers something holds for: each of its patterns must match."""

    provider: Annotated[Names, _patterns("on provider", example="gcp")] = _ALL
    region: Annotated[
        Names, _patterns("on region or provider/region", example="gcp/us-central1")
    ] = _ALL
    option: Annotated[Names, _patterns("on purchase option", example="[spot, on_demand]")] = _ALL
    gpu: Annotated[Names, _patterns("on GPU model", example="H100")] = _ALL
    machine: Annotated[Names, _patterns("on instance type", example="a3-highgpu-*")] = _ALL

    @property
    def words(self) -> str:
        """What it names, in words."""
        given = (self.provider, self.region, self.option, self.gpu, self.machine)
        return " ".join(",".join(names) for names in given if names != _ALL) or "everything"


@record
class Quota(Scope):
    """GPUs that may be rented at the same time of all that it names, beside machines held."""

    _: KW_ONLY
    gpus: Annotated[
        NotNegative,
        key(
            "of all offers named together, in place of the capacity that is assumed of them",
            example="16",
            unit="GPU",
        ),
    ]


@record
class Price(Scope):
    """What was agreed with a provider; an offer takes the first entry that names it."""

    _: KW_ONLY
    discount: Annotated[
        Share | None, key("off today's and later prices", example="0.15", unit="share", lt=1)
    ] = None
    usd_per_gpu_hour: Annotated[
        Positive | None,
        key("fixed, in place of the price on offer", example="2.10", unit="USD per GPU-hour"),
    ] = None

    def __post_init__(self) -> None:
        if (self.discount is None) == (self.usd_per_gpu_hour is None):
            raise ParameterError(
                f"prices of {self.words}: a discount and a fixed price are one of the two.",
                "Write discount or usd_per_gpu_hour.",
            )


@record
class RoundTrip:
    """What a round trip between two regions takes, whichever has the users."""

    between: Annotated[
        tuple[Text, Text],
        key(
            "two regions as provider/region: where users are, as latency names it, and where "
            "machines are",
            example="[gcp/europe-west3, gcp/europe-west4]",
        ),
    ]
    ms: Annotated[
        NotNegative,
        key("as measured, in place of the estimate from the great circle", example="8", unit="ms"),
    ]

    def to(self, users_at: str) -> tuple[tuple[str, float], ...]:
        """Return the region at its other end, and ms: where users are at one; else nothing."""
        first, second = self.between
        ends = {first: second, second: first}
        return ((ends[users_at], self.ms),) if users_at in ends else ()


@record
class Team:
    """Who shares a plan."""

    name: Annotated[Text, key("its name", example="research", alias="team")]
    budget_usd: Annotated[
        Positive | None,
        key(
            "most that its work may be expected to cost, a week or over the plan",
            example="50000 USD a week",
            unit="USD",
            alias="budget",
        ),
    ] = None
    budget_weekly: SkipJsonSchema[Flag] = False
    priority: Annotated[
        Positive | None,
        key(
            "1 before 2: where not all can be served, work of the last is left undone first; "
            "without it, all of its work must run",
            example="2",
            multiple_of=1,
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _read_sentences(cls, given: Any) -> Any:
        return without_sentences(given, ["budget"]) if isinstance(given, dict) else given
