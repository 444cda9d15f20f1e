"""vLLM in processes of its own, and as a server: new weights by file and by broadcast, and deaths.

What every engine must do is in test_engine_contract.py, for vLLM inside the process.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from dataclasses import replace

import httpx
import pytest
import torch
from engine_samples import Reference, prompt_of, random_model, run

from agentrl.engines import SamplingParams
from agentrl.engines.openai import OpenAIEngine, Server
from agentrl.errors import ConfigError, ContextOverflow, EngineError

pytest.importorskip("vllm", reason="vLLM is not installed: `make test-vllm` installs and tests it")
psutil = pytest.importorskip("psutil", reason="psutil comes with vLLM")

from agentrl.engines.vllm import VLLMSettings, start  # noqa: E402

PLAIN = SamplingParams(max_tokens=12, seed=1)
START = 240.0
"""Seconds that a server may take to start on a busy machine."""


def settings_of(placement, transfer="auto", **more):
    return VLLMSettings(placement=placement, transfer=transfer, timeout=60.0, **more)


@pytest.fixture(scope="module")
def process(tiny_tokenizer):
    """An engine beside this process; tests leave it with the weights of seed 0 as version 0."""
    engine = start(
        random_model(), tiny_tokenizer, settings=settings_of("process"), cache_bytes=1 << 26
    )
    yield engine
    run(engine.close())


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_tokenizer):
    """The address of a server with the weights of seed 0."""
    folder = tmp_path_factory.mktemp("served")
    random_model().save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "agentrl", "serve-vllm", str(folder), "--port", str(port)]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            [*command, "--dtype", "float32", "--cache-gib", "0.1", "max_num_seqs=64"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START
    while True:
        assert running.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                break
        except httpx.HTTPError:
            time.sleep(0.5)
    yield url
    kill_all(running.pid)
    running.wait()


def kill_all(pid):
    parent = psutil.Process(pid)
    for each in [*parent.children(recursive=True), parent]:
        each.kill()


def engine_processes():
    """Those that vLLM has started: it names them so."""
    found = []
    for child in psutil.Process().children(recursive=True):
        if child.status() != psutil.STATUS_ZOMBIE and "EngineCore" in " ".join(child.cmdline()):
            found.append(child)
    assert found
    return found


async def follows(engine, transfer_runs=3):
    """New weights arrive whole, again and again, under running requests too."""
    models = [random_model(seed=0), random_model(seed=1)]
    references = [Reference(model) for model in models]
    for number in range(transfer_runs):
        await engine.update_weights(models[number % 2].state_dict().items(), 10 + number)
        for prompt in (prompt_of(70), prompt_of(20)):
            completion = await engine.generate(prompt, PLAIN)
            assert completion.versions == [(10 + number, 12)]
            references[number % 2].check(prompt, completion, PLAIN)
    await engine.update_weights(models[0].state_dict().items(), 20)
    long = SamplingParams(max_tokens=300, seed=3)
    tasks = [asyncio.create_task(engine.generate(prompt_of(9, seed=n), long)) for n in range(3)]
    await asyncio.sleep(0.2)
    await engine.update_weights(models[1].state_dict().items(), 21, in_flight=True)
    for number, completion in enumerate(await asyncio.gather(*tasks)):
        assert [version for version, _ in completion.versions] in ([20, 21], [21])
        before = sum(count for version, count in completion.versions if version == 20)
        tables = [r.logprobs(prompt_of(9, seed=number), completion.ids, 1.0) for r in references]
        table = torch.cat([tables[0][:before], tables[1][before:]])
        chosen = table.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
        given = torch.tensor(completion.logprobs).double()
        torch.testing.assert_close(given, chosen, atol=1e-4, rtol=0)
    await engine.update_weights(models[0].state_dict().items(), 0)


@pytest.mark.parametrize("transfer", ["file", "broadcast"])
def test_weights_reach_another_process(process, transfer):
    from agentrl.engines.vllm.transfer import ProcessTransfer

    process._transfer = ProcessTransfer(settings_of("process", transfer))
    run(follows(process))


def test_completions_of_another_process_are_exact(process, tiny_tokenizer):
    reference = Reference(random_model())
    params = SamplingParams(max_tokens=20, temperature=0.7, seed=4)

    async def main():
        calls = (process.generate(prompt_of(5 + n, seed=n), params) for n in range(40))
        return await asyncio.gather(*calls)

    for number, completion in enumerate(run(main())):
        reference.check(prompt_of(5 + number, seed=number), completion, params)
    free = run(process.generate(prompt_of(8), params))
    stop = tiny_tokenizer.decode(free.ids[4:7])[1:-1]
    cut = run(
        process.generate(
            prompt_of(8),
            SamplingParams(max_tokens=20, temperature=0.7, seed=4, stop_strings=(stop,)),
        )
    )
    assert (cut.stop, cut.stop_string) == ("stop_string", stop)
    assert cut.ids == free.ids[: len(cut.ids)]


def test_a_cancelled_request_ends_in_the_other_process(process):
    async def main():
        task = asyncio.create_task(
            process.generate(prompt_of(9), SamplingParams(max_tokens=490, seed=0))
        )
        before = process.stats.sampled_tokens
        while process.stats.sampled_tokens < before + 5:
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await process.generate(prompt_of(5), PLAIN)
        sampled = process.stats.sampled_tokens
        await asyncio.sleep(0.3)
        assert process.stats.sampled_tokens == sampled

    run(main())


@pytest.mark.parametrize("transfer", ["file", "broadcast"])
def test_weights_reach_a_server(server, transfer):
    engine = start(
        random_model(), settings=settings_of("server", transfer, url=server), max_context=512
    )

    async def main():
        await follows(engine)
        first = await engine.generate(prompt_of(70), PLAIN)
        again = await engine.generate(prompt_of(70) + first.ids, PLAIN)
        assert again.cached_tokens == 64
        await engine.sleep()
        await engine.generate(prompt_of(5), PLAIN)
        await engine.close()
        with pytest.raises(EngineError, match="closed"):
            await engine.generate(prompt_of(5), PLAIN)

    run(main())


def test_the_openai_engine_is_exact_on_a_real_server(server, tiny_tokenizer):
    """What applies of the contract to an engine whose weights are the server's own."""
    reference = Reference(random_model())
    own = start(random_model(), settings=settings_of("server", url=server))
    run(own.update_weights(random_model().state_dict().items(), 0))
    run(own.close())

    def check(prompt, completion, temperature):
        table = reference.logprobs(prompt, completion.ids, temperature)
        chosen = table.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(chosen.tolist(), abs=1e-4)

    async def main():
        address = Server(url=f"{server}/v1", model="policy")
        engine = await OpenAIEngine.connect(address, logprobs="processed")
        assert engine.max_context == 512
        prompt = prompt_of(70)
        greedy = await engine.generate(prompt, SamplingParams(temperature=0, max_tokens=20))
        best = reference.logprobs(prompt, greedy.ids, 1.0).argmax(-1).tolist()
        assert greedy.ids == best and greedy.stop == "length"
        check(prompt, greedy, 1.0)
        again = await engine.generate(prompt, SamplingParams(temperature=0, max_tokens=20))
        assert (again.ids, again.cached_tokens) == (greedy.ids, 64)
        params = SamplingParams(temperature=0.7, max_tokens=30, seed=5)
        many = await asyncio.gather(
            *(engine.generate(prompt_of(5 + n, seed=n), params) for n in range(30))
        )
        for number, completion in enumerate(many):
            check(prompt_of(5 + number, seed=number), completion, 0.7)
        same = await engine.generate(prompt_of(5, seed=0), params)
        assert same.ids == many[0].ids
        stop = replace(params, stop_ids=(many[0].ids[4],))
        cut = await engine.generate(prompt_of(5, seed=0), stop)
        assert cut.stop == "stop_id" and cut.ids == many[0].ids[: len(cut.ids)]
        text = tiny_tokenizer.decode(many[0].ids[4:7])[1:-1]
        cut = await engine.generate(prompt_of(5, seed=0), replace(params, stop_strings=(text,)))
        assert (cut.stop, cut.stop_string) == ("stop_string", text)
        assert cut.ids == many[0].ids[: len(cut.ids)]
        with pytest.raises(ContextOverflow):
            await engine.generate(prompt_of(512), params)
        with pytest.raises(ConfigError, match="keeps its own weights"):
            await engine.update_weights(random_model().state_dict().items(), 1)
        turn = await engine.client.chat([{"role": "user", "content": "go north"}], params)
        assert turn.text and turn.spent.completion_tokens == 30
        await engine.close()

    run(main(), 120)


def test_nobody_answering_and_a_server_of_another_kind_are_told_apart(server):
    with pytest.raises(EngineError, match="does not answer"):
        start(random_model(), settings=settings_of("server", url="http://127.0.0.1:9"))
    with pytest.raises(EngineError, match="status 404"):
        start(random_model(), settings=settings_of("server", url=f"{server}/nowhere"))


def test_a_failed_update_stops_sampling_until_one_arrives(process):
    class Broken:
        async def send(self, backend, weights, version):
            raise EngineError("the line is down")

    working, process._transfer = process._transfer, Broken()
    state = random_model().state_dict()
    with pytest.raises(EngineError, match="line is down"):
        run(process.update_weights(state.items(), 4))
    with pytest.raises(EngineError, match="did not arrive"):
        run(process.generate(prompt_of(5), PLAIN))
    process._transfer = working
    run(process.update_weights(state.items(), 0))
    Reference(random_model()).check(prompt_of(5), run(process.generate(prompt_of(5), PLAIN)), PLAIN)


def test_the_death_of_a_server_fails_what_runs_within_the_deadline(server):
    engine = start(random_model(), settings=settings_of("server", url=server))

    async def main():
        tasks = [
            asyncio.create_task(
                engine.generate(prompt_of(5, seed=n), SamplingParams(max_tokens=490, seed=n))
            )
            for n in range(3)
        ]
        await asyncio.sleep(0.3)
        port = int(server.rpartition(":")[2])
        (owner,) = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == "LISTEN" and connection.laddr.port == port
        }
        kill_all(owner)
        started = time.monotonic()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, EngineError) for result in results)
        assert time.monotonic() - started < 60
        await engine.close()

    run(main(), 120)


def test_the_death_of_the_engine_process_fails_what_runs_and_what_comes(process):
    async def main():
        tasks = [
            asyncio.create_task(
                process.generate(prompt_of(5, seed=n), SamplingParams(max_tokens=490, seed=n))
            )
            for n in range(3)
        ]
        before = process.stats.sampled_tokens
        while process.stats.sampled_tokens < before + 9:
            await asyncio.sleep(0.005)
        for victim in engine_processes():
            victim.kill()
        started = time.monotonic()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, EngineError) for result in results), results
        assert time.monotonic() - started < 30
        with pytest.raises(EngineError):
            await process.generate(prompt_of(5), PLAIN)
        with pytest.raises(EngineError):
            await process.update_weights(random_model().state_dict().items(), 1)

    run(main(), 120)


def test_a_model_that_vllm_cannot_run_is_refused_before_it_starts():
    with pytest.raises(ConfigError, match="heads are 16 wide"):
        model = random_model()
        model.config.head_dim = 16
        start(model, settings=settings_of("inline"))


def test_without_the_tap_entropies_are_bounds_and_say_so():
    model = random_model()
    reference = Reference(model)
    engine = start(model, settings=settings_of("inline", entropy="bound"), cache_bytes=1 << 26)
    try:
        completion = run(engine.generate(prompt_of(20), PLAIN))
        table = reference.logprobs(prompt_of(20), completion.ids, 1.0)
        exact = -(table.exp() * table).sum(-1)
        assert not completion.entropy_exact
        assert (torch.tensor(completion.entropies) <= exact + 1e-4).all()
        known = [row.sort(descending=True).values[:20] for row in table]
        least = torch.stack([-(row.exp() * row).sum() for row in known])
        assert (torch.tensor(completion.entropies) >= least - 1e-4).all()
        chosen = table.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(chosen.tolist(), abs=1e-4)
        assert completion.versions == [(0, 12)]
        with pytest.raises(ConfigError, match="in_flight"):
            run(engine.update_weights(model.state_dict().items(), 1, in_flight=True))
    finally:
        run(engine.close())
