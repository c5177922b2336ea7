"""The demo's camera speaks like the site's, moves, and fails in each of the ways that it was built to."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from orchestrator.demo.part import Part, PartError, running
from orchestrator.edges.worker.find import find_ffmpeg
from tests.demo.conftest import Client

pytestmark = pytest.mark.slow


async def ffmpeg_says(*arguments: str) -> str:
    """What ffmpeg prints about its run on these arguments, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        find_ffmpeg(),
        "-hide_banner",
        "-nostdin",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_ffmpeg_reads_it_as_a_moving_picture_of_320_by_180(camera: Part, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{camera.port}/mjpeg/cam1"
    said = await ffmpeg_says("-f", "mpjpeg", "-i", url, "-frames:v", "12", f"{tmp_path}/%d.bmp")
    assert "320x180" in said
    images = [(tmp_path / f"{number}.bmp").read_bytes() for number in range(1, 13)]
    assert len(set(images)) > 6


async def test_the_response_is_like_that_of_the_vision_service(client: Client) -> None:
    response = await client.watch("/mjpeg/anything")
    assert response.status == 200
    assert response.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
    image = await response.part()
    assert image.startswith(b"\xff\xd8")
    assert image.rstrip(b"\0").endswith(b"\xff\xd9")


async def test_several_watch_at_once_and_ffmpeg_runs_only_while_someone_does(
    camera: Part, client: Client
) -> None:
    assert children(camera.pid) == []
    both = [await client.watch(), await client.watch()]
    for response in both:
        await response.part()
    [drawing] = children(camera.pid)
    exit_of_ffmpeg = os.pidfd_open(drawing)
    for response in both:
        response.writer.close()
    await readable(exit_of_ffmpeg)
    assert (await client.control(fault="ok"))["viewers"] == 0


async def test_ffmpeg_dies_with_a_camera_that_is_killed(camera: Part, client: Client) -> None:
    await (await client.watch()).part()
    [drawing] = children(camera.pid)
    exit_of_ffmpeg = os.pidfd_open(drawing)
    os.kill(camera.pid, signal.SIGKILL)
    await readable(exit_of_ffmpeg)


async def test_refuse_closes_what_is_open_and_refuses_what_comes(camera: Part, client: Client) -> None:
    response = await client.watch()
    await response.part()
    camera.say("refuse")
    await response.rest()
    with pytest.raises(ConnectionRefusedError):
        await client.watch()
    camera.say("ok")
    assert await camera.hear() == {"fault": "refuse"}
    assert await camera.hear() == {"fault": "ok"}
    await (await client.watch()).part()


async def test_refuse_for_a_while_ends_by_itself(camera: Part, client: Client) -> None:
    await client.control(fault="refuse", for_s=3)
    assert await camera.hear() == {"fault": "refuse"}
    with pytest.raises(ConnectionRefusedError):
        await client.watch()
    assert await camera.hear() == {"fault": "ok"}
    await (await client.watch()).part()


@pytest.mark.parametrize("status", [404, 401])
async def test_404_and_401_are_answered_and_cut_who_watches(
    camera: Part, client: Client, status: int
) -> None:
    response = await client.watch()
    await response.part()
    await client.control(fault=str(status))
    await response.rest()
    assert (await client.watch()).status == status


async def test_hang_keeps_the_response_open_and_silent(camera: Part, client: Client) -> None:
    before = await client.watch()
    await before.part()
    await client.control(fault="hang")
    await camera.hear()
    after = await client.watch()
    assert after.status == 200
    silence = asyncio.create_task(after.reader.read(1))
    done, _ = await asyncio.wait({silence}, timeout=0.5)
    assert not done
    await client.control(fault="ok")
    assert await silence
    await before.part()


async def test_close_ends_in_the_middle_of_an_image(client: Client) -> None:
    await client.control(fault="close")
    response = await client.watch()
    await response.part()
    with pytest.raises(asyncio.IncompleteReadError):
        await response.part()


async def test_garbage_is_well_formed_parts_without_a_picture(client: Client) -> None:
    await client.control(fault="garbage")
    response = await client.watch()
    assert b"\xff\xd8" not in await response.part() + await response.part()


async def test_flap_ends_each_response_and_takes_the_next(client: Client) -> None:
    await client.control(fault="flap")
    for _ in range(2):
        response = await client.watch()
        await response.part()
        await response.rest()


async def test_an_order_that_makes_no_sense_changes_nothing(client: Client) -> None:
    for body, kind in ((b'{"fault": "fire"}', "application/json"), (b'{"fault": "hang"}', "text/plain")):
        assert (await client.ask("POST", "/control", body, kind)).status == 400
    assert (await client.control(fault="ok"))["fault"] == "ok"


async def test_other_paths_are_not_found(client: Client) -> None:
    assert (await client.ask("GET", "/")).status == 404


async def test_a_port_that_is_taken_is_said_in_one_line(
    camera: Part, capfd: pytest.CaptureFixture[str]
) -> None:
    await (await Client(camera.port).watch()).part()
    with pytest.raises(PartError):
        async with running("camera", f"--port={camera.port}"):
            pass
    assert capfd.readouterr().err.count("\n") == 1


async def readable(descriptor: int) -> None:
    """Return when the descriptor (of a process: that it has ended) is readable, and close it."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
