"""What `vllm serve` answers to the questions of a check."""

from align.checks.vllm_server import IMAGE_ROUTES, TRANSFER_ROUTES

SERVER_MODE = {"use_vllm": True, "vllm_mode": "server"}


def answers_of(model, **config):
    """What a server says that was started as TRL wants it; `config` changes its settings."""
    settings = {
        "weight_transfer_config": {"backend": "nccl"},
        "model_config": {"logprobs_mode": config.pop("logprobs_mode", "processed_logprobs")},
    }
    return {
        "/health": None,
        "/v1/models": {"data": [{"id": "policy", "root": str(model), "max_model_len": 512}]},
        "/version": {"version": "0.31.0"},
        "/openapi.json": {"paths": {path: {} for path in TRANSFER_ROUTES + IMAGE_ROUTES}},
        "/server_info": {"vllm_config": settings | config},
    }
