#!/usr/bin/env bash
# What a stranger does first, in each of the three sizes: bash scripts/fresh.sh [FOLDER]
# In a clone without an environment: `scripts/quickstart.sh`, which makes one of the size `train`. Outside the checkout:
# a built wheel with the same packages and no others, the commands of the first page that need no extra, and for those
# that need one the sentence that says so; the size `eval`, which is `train` without TRL, under its newest and its
# oldest transformers; and the base, installed anew from the index. FOLDER (.fresh) is used again: a second run
# downloads nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1
FRESH="$(mkdir -p "${1:-.fresh}" && cd "${1:-.fresh}" && pwd)"
BUILD="$FRESH/build" CLONE="$FRESH/clone" WHEEL="$FRESH/wheel" LOG="$FRESH/log" USER_FOLDER="$(mktemp -d)"
trap 'rm -rf "$USER_FOLDER"' EXIT
unset PYTHONPATH VIRTUAL_ENV ALIGN_VENV ALIGN_EXTRAS PYTHONDONTWRITEBYTECODE
export COLUMNS=1000 HF_HUB_OFFLINE=1 MPLBACKEND=Agg
failed=0

try() { # a command that must succeed
  local began=$SECONDS
  if "$@" >"$LOG" 2>&1 </dev/null && ! grep -q Traceback "$LOG"; then
    printf 'ok      %3d s  %s\n' $((SECONDS - began)) "${*#"$FRESH/"}"
  else
    failed=$((failed + 1))
    printf 'FAILED  %3d s  %s\n' $((SECONDS - began)) "${*#"$FRESH/"}"
    tail -n 20 "$LOG" | sed 's/^/        | /'
  fi
}

refuse() { # a command that must end with exit code 1 and these words in its last sentence: EXTRA COMMAND
  local extra="$1" code=0
  shift
  "$@" >"$LOG" 2>&1 </dev/null || code=$?
  if [ $code = 1 ] && grep -qF "pip install \"truealign[$extra]\"" "$LOG" && ! grep -q Traceback "$LOG"; then
    printf 'ok             %s: names the extra %s\n' "${*#"$FRESH/"}" "$extra"
  else
    failed=$((failed + 1))
    printf 'FAILED         %s: exit code %d, and not the sentence with truealign[%s]\n' "${*#"$FRESH/"}" $code "$extra"
    tail -n 20 "$LOG" | sed 's/^/        | /'
  fi
}

# The clone: what a source distribution holds, so that changes that are not committed are in it.
rm -rf "$FRESH/dist" "$WHEEL"
[ -x "$BUILD/bin/python" ] || "${BASE_PYTHON:-python3}" -m venv "$BUILD"
{ "$BUILD/bin/python" -m pip install --quiet "hatchling>=1.25" build twine && # the first as `build-system` asks
  "$BUILD/bin/python" -m build --no-isolation --outdir "$FRESH/dist" &&
  "$BUILD/bin/python" -m twine check --strict "$FRESH"/dist/*; } >"$LOG" 2>&1 || {
  tail -n 5 "$LOG" && echo "The wheel could not be built." && exit 1
}
mkdir -p "$CLONE"
find "$CLONE" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
tar -xzf "$FRESH"/dist/*.tar.gz --strip-components 1 -C "$CLONE"
cd "$CLONE" || exit 1
try bash scripts/quickstart.sh --max_steps 2 --max_eval 16

# The wheel: an environment of its own that sees the packages of the clone's, but not the clone.
cd "$USER_FOLDER" || exit 1
"$CLONE/.venv/bin/python" -m venv --without-pip "$WHEEL"
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
packages "$CLONE/.venv" >"$(packages "$WHEEL")/packages.pth"
try "$CLONE/.venv/bin/python" -m pip --python "$WHEEL/bin/python" install --quiet --no-index "$FRESH"/dist/*.whl
PATH="$WHEEL/bin:$PATH"
try python -c "import align, sys; assert align.__file__.startswith(sys.prefix), align.__file__"
ASSETS="$(python -c 'from align.assets import asset_dir; print(asset_dir("recipes"))')"
case "$ASSETS" in "$WHEEL"/*) ;; *) echo "FAILED: align is not that of the wheel but reads $ASSETS" && exit 1 ;; esac

# A user's folder with a reward file of the usual name, which is also that of our package.
cat >rewards.py <<'END'
from rewards import completion_text


def brevity(completions, **kwargs):
    return [1 / (1 + len(completion_text(text))) for text in completions]
END
cat >prompts.jsonl <<'END'
{"prompt": "11200[3]"}
{"prompt": "33213[4]"}
{"prompt": "23120[4]"}
{"prompt": "12323[1]"}
END
cat >grpo.yaml <<END
method: grpo
model_name_or_path: $ASSETS/acre/assets/lab/model
dataset: {path: ./prompts.jsonl}
reward_funcs: [./rewards.py:brevity]
reward_workers: 1
per_device_train_batch_size: 4
num_generations: 2
max_completion_length: 8
use_cpu: true
bf16: false
save_strategy: "no"
END

try align doctor
try align recipes
try align check acre/quickstart # training checks its recipe too
for method in acre rrpo crome; do
  try align train "$method/quickstart" --max_steps 2 --output_dir "outputs/$method"
done
try python -m align check grpo.yaml
try python -m accelerate.commands.launch --num_processes 1 --cpu -m align train grpo.yaml --max_steps 2 --output_dir outputs/grpo
refuse deconfound align check deconfound/quickstart
refuse deconfound align train deconfound/quickstart
try align eval --model outputs/acre --baseline outputs/grpo --data "$ASSETS/acre/assets/lab/eval.jsonl" --max_rows 20 --out eval
try align eval --reward_model outputs/crome --data "$ASSETS/crome/assets/lab/eval.jsonl" --max_rows 20 --on_bad_rows skip --out eval-rewards
try align report outputs/rrpo
try align report eval
try align rewards check accuracy
try align rewards check acre/quickstart
try align rewards check ./rewards.py:brevity

# The size `eval`: the packages of the clone's environment but TRL, and ours, which is written anew.
MIDDLE="$FRESH/middle"
rm -rf "$MIDDLE" && "$CLONE/.venv/bin/python" -m venv --without-pip "$MIDDLE"
for each in "$(packages "$CLONE/.venv")"/*; do
  case "${each##*/}" in align | trl | trl-* | truealign* | *.pth) ;; *) ln -s "$each" "$(packages "$MIDDLE")/" ;; esac
done
try "$CLONE/.venv/bin/python" -m pip --python "$MIDDLE/bin/python" install --quiet --no-index --no-deps "$FRESH"/dist/*.whl
PATH="$MIDDLE/bin:$PATH"
MODEL="$ASSETS/acre/assets/lab/model"
try align doctor
try align eval --model "$MODEL" --data "$ASSETS/acre/assets/lab/eval.jsonl" --max_rows 4 --suite accuracy --out small-eval
try align eval --model "$USER_FOLDER/outputs/acre" --data "$ASSETS/acre/assets/lab/eval.jsonl" --max_rows 4 --out run-eval
refuse train align check acre/quickstart
refuse train align keys acre

# The same with the oldest transformers that it asks for; the one before is the newest that the index has.
LEAST="$(grep -om1 'transformers>=[0-9.]*' "$CLONE/pyproject.toml" | cut -d= -f2)"  # of `eval`, which stands first
OLD="$FRESH/old-$LEAST"
if [ ! -e "$OLD/whole" ]; then
  rm -rf "$OLD" && cp -a "$MIDDLE" "$OLD" && rm "$(packages "$OLD")"/{transformers,tokenizers,huggingface_hub}{,-*}
  try "$CLONE/.venv/bin/python" -m pip --python "$OLD/bin/python" install --quiet --no-compile "transformers==$LEAST"
fi
try "$CLONE/.venv/bin/python" -m pip --python "$OLD/bin/python" install --quiet --no-index --no-deps --force-reinstall "$FRESH"/dist/*.whl
[ $failed != 0 ] || touch "$OLD/whole"
PATH="$OLD/bin:$PATH"
try python -c "import transformers as it; assert it.__version__.startswith('$LEAST'), it.__version__"
try python -m align eval --model "$USER_FOLDER/outputs/acre" --data "$ASSETS/acre/assets/lab/eval.jsonl" --max_rows 4 --out old-eval
try python -m align rewards check outputs/crome
try align compare run-eval old-eval --out old-compared

# The base.
SMALL="$FRESH/small"
[ -x "$SMALL/bin/python" ] || "${BASE_PYTHON:-python3}" -m venv "$SMALL"
began=$SECONDS
try "$SMALL/bin/python" -m pip install --quiet --no-compile "$FRESH"/dist/*.whl
took=$((SECONDS - began)) size="$(du -sm "$(packages "$SMALL")" | cut -f1)"
try "$SMALL/bin/python" -m pip install --quiet --no-compile --no-index --no-deps --force-reinstall "$FRESH"/dist/*.whl
PATH="$SMALL/bin:$PATH"
try align --version
try align doctor
try align recipes
try align audit "$ASSETS/acre/assets/lab/train.jsonl" --max_rows 200 --out audit
try align rewards new politeness
try align rewards check politeness.py:politeness
try align rewards attack politeness.py:politeness
try align report outputs/rrpo
try align report eval
refuse train align check acre/quickstart
refuse train align train acre/quickstart
refuse train align rehearse acre/quickstart
refuse eval align eval --model "$MODEL" --data "$ASSETS/acre/assets/lab/eval.jsonl" --out nothing
refuse eval align merge --base "$MODEL" --tuned "$MODEL" --out nothing
echo "The base has $size MB, with pip, and took $took s to install."

[ $failed = 0 ] || echo "$failed of the commands of a fresh install failed."
echo "Fresh installs took $SECONDS s."
exit $((failed > 0))
