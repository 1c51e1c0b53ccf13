"""Settings that configs of all methods that sample have."""

from dataclasses import dataclass, field

SKIPPING: dict[str, tuple[str, ...]] = {"skip_without_advantage": ("auto", "off")}
OF_CALLS = ("tool_timeout", "tool_memory_gb", "max_tool_calling_iterations")  # read only where there are tools


@dataclass
class SkipConfig:
    """What the update leaves out; with `off` it is TRL's."""

    skip_without_advantage: str = field(
        default="auto",
        metadata={
            "help": "`auto` leaves completions whose advantage is 0, and padding, out of the update where the "
            "gradient stays TRL's up to rounding; `off` computes what TRL does, bit for bit."
        },
    )


@dataclass
class ToolConfig:
    """Settings of tools; without `tools`, `environment_factory` and `environment` nothing differs."""

    tools: list[str] | None = field(
        default=None, metadata={"help": "Functions that the model may call, as ./file.py:name or package.module:name."}
    )
    environment_factory: dict[str, str] | str | None = field(
        default=None,
        metadata={
            "help": "Class of an environment, or a function that makes one, as ./file.py:name; its public methods are "
            "tools. A block of several has names, which the column `environment` of the data picks from."
        },
    )
    environment: str | None = field(
        default=None,
        metadata={
            "help": "Third-party environment, as verifiers:NAME or verifiers:NAME?key=value, which brings "
            "rows, tools and rewards; `dataset.path` is not needed beside it. A class as ./file.py:name is read as "
            "`environment_factory`."
        },
    )
    tool_timeout: float = field(
        default=30.0,
        metadata={
            "help": "Seconds for one call of a tool, or of `reset` or `get_reward`; a call that takes longer is ended "
            "with its process, and costs its completion the reward."
        },
    )
    tool_memory_gb: float | None = field(
        default=None,
        metadata={"help": "Address space, in GiB, of the process of the tools, or of an instance of an environment."},
    )
