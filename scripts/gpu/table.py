"""What `checks.sh` runs, how long each may take on a GPU, and the bars that its numbers are held to."""

from typing import NamedTuple


class Bar(NamedTuple):
    """A number of a check.

    Attributes:
        name: In tables.
        path: Where it is in the JSON that the check writes, keys joined by slashes.
        most: It may not be above.
        least: It may not be below.
        tiny: Whether the bar holds for `--tiny` too; a ratio of two tiny steps says nothing.
        gpu: Whether only a GPU has the number.
    """

    name: str
    path: str
    most: float | None = None
    least: float | None = None
    tiny: bool = True
    gpu: bool = False

    def holds(self, value: float) -> bool:
        """Tells whether a value keeps to the bar; NaN does not."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    def __str__(self) -> str:
        return " and ".join(
            f"{sign} {value:g}" for sign, value in (("<=", self.most), (">=", self.least)) if value is not None
        )


class Check(NamedTuple):
    """A command in a process of its own.

    Attributes:
        name: For `--only`.
        claim: What it shows.
        seconds: It may take on a GPU.
        words: Script and options on a GPU of any size.
        tiny: The same for `--tiny`.
        bars: Its numbers.
        takes: Which of `--device` and `--dtype` the script has.
        packages: It imports beside those of a base install.
        folders: It reads, without `--tiny`.
        gpus: It needs; 0 runs on a CPU, too.
        all_gpus: Whether it sees all of them.
    """

    name: str
    claim: str
    seconds: int
    words: str
    tiny: str
    bars: tuple[Bar, ...]
    takes: tuple[str, ...] = ("device", "dtype")
    packages: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    gpus: int = 0
    all_gpus: bool = False


def ratio(name: str, path: str, most: float) -> Bar:
    """Makes a bar of a ratio of times."""
    return Bar(name, path, most, tiny=False)


NEAR, CANCELS = 0.05, 0.25  # relative errors of gradients; checks/numerics.py says why
CHECKS = (
    Check(
        "numerics", "losses and gradients in bfloat16 are those of float32", 35,
        "-m scripts.checks.numerics --model random-large", "-m scripts.checks.numerics --model random-tiny",
        (
            *(Bar(f"{name} loss", f"{name}/loss", 0.01) for name in ("rrpo", "crome", "deconfound")),
            *(Bar(f"{name} gradient", f"{name}/gradient", NEAR) for name in ("rrpo", "crome", "deconfound")),
            Bar("grpo gradient", "grpo/gradient", CANCELS),
            Bar("acre letters, nats", "acre/letters", 0.1),
        ),
        takes=("device",),
    ),
    Check(
        "rrpo", "a pass of RRPO over one of TRL's DPO, which has Triton kernels", 25,
        "-m scripts.benches.rrpo --model random-large --tokens 1024 --rounds 4",
        "-m scripts.benches.rrpo --model random-tiny --tokens 64 --rounds 2",
        (
            ratio("time", "tokens/*/rrpo/median_ratio", 1.05),
            Bar("DPO uses its Triton kernels", "triton", least=1, gpu=True),
            Bar("peak memory", "tokens/*/counted/rrpo/peak_ratio", 1.05),
            Bar("FLOPs over the floor", "tokens/*/counted/flops_over_floor", 1.05, tiny=False),
        ),
    ),
    Check(
        "acre", "a step of ACRE over one of TRL's GRPO", 35,
        "-m scripts.benches.acre --model random-large --arms acre acre-text --rounds 3",
        "-m scripts.benches.acre --model random-tiny --arms acre acre-text --completion_tokens 32 --rounds 2",
        (
            ratio("letters, time", "acre/median_ratio", 1.1),
            Bar("letters, peak memory", "counted/acre/peak_ratio", 1.05),
            Bar("letters, tokens over the floor", "counted/acre/second/tokens_over_floor", 1.02),
            ratio("texts, time", "acre-text/median_ratio", 1.25),
            Bar("texts, peak memory", "counted/acre-text/peak_ratio", 1.05),
        ),
    ),
    Check(
        "acre-images", "the same with images", 35,
        "-m scripts.benches.acre_images --size large --rounds 3 --completion_tokens 48",
        "-m scripts.benches.acre_images --size tiny --rounds 2 --num_images 1 --image_side 56 "
        "--completion_tokens 48",
        (ratio("time", "group/median_ratio", 1.1), Bar("peak memory", "counted/group/peak_ratio", 1.05)),
        packages=("PIL", "torchvision"),
    ),
    Check(
        "skipped", "a step of GRPO and of ACRE without what teaches nothing over one of TRL's GRPO", 20,
        "-m scripts.benches.zero_advantage --model random-large --pass_rates 0.1 --arms trl grpo acre --rounds 3",
        "-m scripts.benches.zero_advantage --model random-tiny --pass_rates 0.1 --arms trl grpo acre --rounds 1 "
        "--prompts 2 --completion_tokens 32",
        (
            ratio("GRPO, time", "rates/*/grpo/whole/median_ratio", 1.0),
            ratio("ACRE, time", "rates/*/acre/whole/median_ratio", 1.0),
            Bar("update, FLOPs over the floor", "rates/*/counted/grpo/over_floor", 1.15, tiny=False),
        ),
    ),
    Check(
        "shared", "a step of RRPO and of Crome that reads prompts of pairs once over one of TRL's", 30,
        "-m scripts.benches.shared_prompts --model random-large --rounds 3",
        "-m scripts.benches.shared_prompts --model random-tiny --rounds 1",
        (
            ratio("RRPO, time", "methods/rrpo/times/auto/median_ratio", 0.65),
            ratio("Crome, time", "methods/crome/times/auto/median_ratio", 0.85),
            ratio("Crome as its parent, time", "methods/crome/times/off/median_ratio", 1.05),
            Bar("Crome as its parent, peak memory", "methods/crome/counted/off/peak_ratio", 1.02),
            Bar("Crome as its parent, FLOPs", "methods/crome/counted/off/flops_ratio", 1.0001),
            Bar("RRPO, FLOPs", "methods/rrpo/counted/auto/flops_ratio", 0.65, tiny=False),
            Bar("Crome, FLOPs", "methods/crome/counted/auto/flops_ratio", 0.85, tiny=False),
        ),
    ),
    Check(
        "evaluate", "four shuffles of `align eval` over first answers alone", 15,
        "-m scripts.benches.evaluate --recipe acre/smollm2-135m --questions 32 --rounds 3",
        "-m scripts.benches.evaluate --questions 12 --rounds 1",
        (
            ratio("time", "median_ratio", 1.6),
            Bar("tokens over the floor", "counted/tokens_over_floor", 1.02, tiny=False),
        ),
        folders=("models/smollm2-135m",),
    ),
    Check(
        "images", "second answers and training with images", 20,
        "-m scripts.checks.images --size large", "-m scripts.checks.images --size tiny --image_side 56",
        (Bar("letters, nats", "letters", 0.1), Bar("steps with a gradient", "steps", least=4)),
        packages=("PIL", "torchvision"),
    ),
    Check(
        "qlora", "adapters on a base in 4 bits", 20,
        "-m scripts.checks.qlora --model random-large", "-m scripts.checks.qlora --model random-tiny",
        (
            Bar("steps with a gradient", "steps", least=6), Bar("weights over bfloat16", "memory", 0.4, tiny=False),
            Bar("an adapter alone is saved", "saved", least=1),
        ),
        takes=("device",), packages=("bitsandbytes",),
    ),
    Check(
        "quickstart", "200 steps, 100 each of GRPO and of ACRE, evaluated", 50,
        "-m scripts.quickstart --out {out}", "-m scripts.quickstart --max_steps 2 --max_eval 50 --out {out}",
        (Bar("accuracy of ACRE over GRPO", "gain", least=0.1, tiny=False),),
        takes=("device",),
    ),
    Check(
        "zero", "recipes under ZeRO-2 and ZeRO-3 on all GPUs, by NCCL, train as in one process", 65,
        "-m scripts.checks.sharding", "-m scripts.checks.sharding",
        tuple(
            bar
            for stage in (2, 3)
            for bar in (
                Bar(f"loss, ZeRO-{stage}", f"zero{stage}/loss", 0.05),
                Bar(f"steps with a gradient, ZeRO-{stage}", f"zero{stage}/steps", least=6),
                Bar(f"models saved whole, ZeRO-{stage}", f"zero{stage}/saved", least=2),
            )
        ),
        takes=("device",), packages=("deepspeed",), all_gpus=True,
    ),
    Check(
        "colocate", "ACRE with vLLM in its process, asleep between rollouts; second answers by it or the policy", 80,
        "-m scripts.checks.engine --model random-large", "-m scripts.checks.engine --model random-tiny",
        (
            Bar("steps", "steps", least=4), Bar("rows asked again", "asked", least=1.0),
            Bar("letters after an exchange, nats", "letters", 0.05),
            Bar("samples after an exchange, nats", "sampled", 0.05),
            Bar("memory freed in its sleep", "freed", least=0.7, gpu=True),
        ),
        packages=("vllm",),
    ),
    Check(
        "generation", "generation of `align eval --rewards` over vLLM called directly", 45,
        "-m scripts.benches.prompts --backend vllm --model random-large --max_new_tokens 64 --prompts 256 --rounds 3",
        "-m scripts.benches.prompts --backend vllm --model random-tiny --prompts 8 --rounds 1",
        (Bar("throughput", "median_ratio", least=0.95, tiny=False), Bar("same texts", "same_share", least=0.9)),
        packages=("vllm",),
    ),
    Check(
        "server", "second answers by `vllm serve`", 45,
        "-m scripts.checks.server --model random-large", "-m scripts.checks.server --model random-tiny",
        (Bar("letters, nats", "letters", 0.1),),
        packages=("vllm",),
    ),
    Check(
        "server-training", "the same server in training, with weights sent by NCCL", 60,
        "-m scripts.checks.server --model random-large --train",
        "-m scripts.checks.server --model random-tiny --train",
        (
            Bar("steps", "steps", least=4), Bar("rows asked again", "asked", least=1.0),
            Bar("letters after an exchange, nats", "letters", 0.05),
            Bar("samples after an exchange, nats", "sampled", 0.05),
        ),
        packages=("vllm",), gpus=2, all_gpus=True,
    ),
)  # fmt: skip
