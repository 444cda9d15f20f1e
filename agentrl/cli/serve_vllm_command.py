"""`agentrl serve-vllm MODEL`: a vLLM server whose weights a run on another machine renews."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", metavar="MODEL", help="a model directory, or a hub id")
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1, this machine only")
    parser.add_argument("--port", type=int, default=8000, help="default 8000")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--max-context", type=int, help="default: what the model was built for")
    parser.add_argument("--max-batch-tokens", type=int, default=2048, help="default 2048")
    parser.add_argument(
        "--cache-gib", type=float, default=0.0, help="default: what --gpu-memory leaves"
    )
    parser.add_argument(
        "--gpu-memory", type=float, default=0.9, help="share of a GPU (default 0.9)"
    )
    parser.add_argument("--tensor-parallel", type=int, default=1, help="GPUs for one copy")
    parser.add_argument("--lora-rank", type=int, default=0, help="of a run that trains adapters")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="further engine arguments of vLLM"
    )
    parser.epilog = (
        "A run uses it with `engine=vllm engine.vllm.placement=server engine.vllm.url=URL`."
    )


def run(args: argparse.Namespace) -> int:
    """Become the server."""
    import os
    import sys

    from agentrl.config.load import parse_overrides
    from agentrl.engines.vllm.features import prepare_environment
    from agentrl.engines.vllm.serving import server_command, server_environment

    prepare_environment()
    command = server_command(
        args.model,
        host=args.host,
        port=args.port,
        dtype=args.dtype,
        max_context=args.max_context,
        max_batch_tokens=args.max_batch_tokens,
        cache_gib=args.cache_gib,
        lora_rank=args.lora_rank,
        tensor_parallel=args.tensor_parallel,
        gpu_memory=args.gpu_memory,
        options=parse_overrides(args.overrides),
    )
    print(f"vLLM at http://{args.host}:{args.port}; Ctrl-C ends it.", flush=True)
    if args.host not in ("127.0.0.1", "localhost"):
        print("Whoever reaches it can change its weights.", file=sys.stderr, flush=True)
    os.execve(command[0], command, server_environment())
