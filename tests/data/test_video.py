import json
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
from clips import shown_numbers, trim_start, write_clip
from scenes import square

from align.data import DataError, load_questions
from align.data.media.rows import MediaReader
from align.data.media.video import TIMES, BrokenVideoError, VideoMetadata, _read_times, frame_files, write_frames
from align.data.problems import BadRow
from align.recipe.dataset import MediaSettings

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("av", reason="needs the extra `vision`")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 32)


def taken(video, folder, **settings):
    folder.mkdir()
    return shown_numbers([folder / name for name in write_frames(video, folder, MediaSettings(**settings))])


def reader(folder, **settings):
    return MediaReader(folder, MediaSettings(frames_dir=str(folder / "frames"), **settings))


@pytest.mark.parametrize(
    ("settings", "numbers"),
    [
        ({"num_frames": 4}, [4, 12, 20, 28]),  # the middles of four quarters
        ({"num_frames": 1}, [16]),
        ({"num_frames": 40}, list(range(32))),  # all it has
        ({"fps": 2}, [2, 8, 13, 18, 24, 29]),  # 3.2 s give six
        ({"fps": 0.1}, [16]),
        ({"fps": 10, "num_frames": 4}, [4, 12, 20, 28]),
    ],
)
def test_frames_are_taken_evenly_over_the_time(clip, tmp_path, settings, numbers):
    assert taken(clip, tmp_path / "out", **settings) == numbers


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "mpeg4"), (".mkv", "mpeg4"), (".webm", "libvpx-vp9")])
def test_other_containers_give_the_same_frames(tmp_path, suffix, codec):
    video = write_clip(tmp_path / f"clip{suffix}", 32, codec=codec)
    assert taken(video, tmp_path / "out", num_frames=4) == [4, 12, 20, 28]


def test_a_frame_that_is_shown_for_long_is_taken_for_each_of_its_times(tmp_path):
    video = write_clip(tmp_path / "screen.mp4", 8, times=[0, 10, 20, 30, 40, 50, 60, 1000])
    assert taken(video, tmp_path / "few", num_frames=4) == [6, 6, 6, 7]
    assert taken(video, tmp_path / "all", num_frames=8) == list(range(8))
    assert len(list((tmp_path / "few").glob("*.jpg"))) == 2  # one picture, listed three times
    count, rate, places = VideoMetadata.of(json.loads((tmp_path / "few" / TIMES).read_text()))
    assert (count, [round(place / rate, 1) for place in places]) == (8, [0.0, 0.0, 0.0, 1.0])  # seconds, not numbers


def test_keyframes_in_between_change_nothing(tmp_path):
    video = write_clip(tmp_path / "keys.mp4", 32, codec="libx264", gop=4)
    assert taken(video, tmp_path / "out", num_frames=3) == [5, 16, 26]


@pytest.mark.by_day(".ts-mpeg2video-25", ".avi-mpeg4-10", ".mp4-libx264-10")
@pytest.mark.parametrize(
    ("suffix", "codec", "fps"),
    [(".avi", "mpeg4", 10), (".ts", "mpeg2video", 25), (".ts", "libx264", 10), (".mpg", "mpeg2video", 25),
     (".avi", "libx264", 10), (".mp4", "libx264", 10)],
)  # fmt: skip
def test_frames_that_are_stored_out_of_order_are_found_by_their_time(tmp_path, suffix, codec, fps):
    video = write_clip(tmp_path / f"clip{suffix}", 32, codec=codec, fps=fps, b_frames=2)
    assert taken(video, tmp_path / "few", num_frames=4) == [4, 12, 20, 28]
    assert taken(video, tmp_path / "more", num_frames=8) == [2, 6, 10, 14, 18, 22, 26, 30]


def test_a_video_that_was_trimmed_without_decoding_is_read_from_its_cut(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", 32, codec="libx264", gop=8)
    video = trim_start(tmp_path / "trimmed.mp4", whole, 20)
    assert taken(video, tmp_path / "few", num_frames=3) == [22, 26, 30]
    assert taken(video, tmp_path / "all", num_frames=40) == list(range(20, 32))


def test_the_last_frame_is_found_where_a_seek_loses_it(tmp_path):
    video = write_clip(tmp_path / "clip.mpg", 32, codec="mpeg2video", fps=25, b_frames=2)
    assert taken(video, tmp_path / "out", num_frames=32) == list(range(32))


class WatchedPacket:
    def __init__(self, packet):
        self.packet = packet

    def __getattr__(self, name):
        return getattr(self.packet, name)


def test_only_the_numbers_of_packets_are_held(clip):
    import av

    with av.open(str(clip)) as container:
        stream, alive, most = container.streams.video[0], weakref.WeakSet(), []

        def demux(stream):
            for packet in container.demux(stream):
                watched = WatchedPacket(packet)
                alive.add(watched)
                most.append(len(alive))
                yield watched

        times = _read_times(SimpleNamespace(demux=demux, format=container.format), stream)
    assert len(times.all) == 32
    assert max(most) <= 2


def test_frames_stand_upright_and_keep_their_proportion(tmp_path):
    from PIL import Image

    video = write_clip(tmp_path / "phone.mp4", 2, size=(64, 32), rotation=90)
    (tmp_path / "out").mkdir()
    name, _ = write_frames(video, tmp_path / "out", MediaSettings(max_pixels=1000))
    assert Image.open(tmp_path / "out" / name).size == (22, 44)


def cut(path, clip, share=0.6, **settings):
    """Writes a video whose table of frames comes first, and cuts its end off."""
    whole = write_clip(path, 32, options={"movflags": "faststart"}).read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


BROKEN = {
    "a cut end": (lambda path, clip: cut(path, clip, 0.8), r"it breaks off: \d+ of its 32 frames are there"),
    "a cut table": (lambda path, clip: path.write_bytes(clip.read_bytes()[:1000]), "it cannot be decoded"),
    "a text": (lambda path, clip: path.write_text("no video"), "it cannot be decoded"),
    "an empty file": (lambda path, clip: path.touch(), "it cannot be decoded"),
}


@pytest.mark.parametrize(("spoil", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_video_is_a_bad_row_and_leaves_nothing_behind(clip, tmp_path, spoil, reason):
    spoil(tmp_path / "broken.mp4", clip)
    with pytest.raises(BadRow, match=f"column `video`: the video gives no frames: {reason}"):
        reader(tmp_path).read({"video": "broken.mp4"})
    assert list((tmp_path / "frames").rglob("*.jpg")) == []


def test_a_sound_has_no_picture(tmp_path):
    import wave

    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    with pytest.raises(BrokenVideoError, match="it has no picture"):
        write_frames(tmp_path / "sound.wav", tmp_path, MediaSettings())


def test_frames_are_taken_once_for_a_content_and_its_settings(clip, tmp_path):
    shutil.copy(clip, tmp_path / "a.mp4")
    shutil.copy(clip, tmp_path / "b.mp4")
    first = reader(tmp_path, num_frames=4).read({"video": "a.mp4"})
    times = [Path(path).stat().st_mtime_ns for path in first]
    assert reader(tmp_path, num_frames=4).read({"video": "b.mp4"}) == first
    assert [Path(path).stat().st_mtime_ns for path in first] == times
    assert set(reader(tmp_path, num_frames=3).read({"video": "a.mp4"})).isdisjoint(first)
    assert set(reader(tmp_path, num_frames=4, max_pixels=1000).read({"video": "a.mp4"})).isdisjoint(first)
    write_clip(tmp_path / "a.mp4", 8)  # another video of the same name
    assert shown_numbers(reader(tmp_path, num_frames=4).read({"video": "a.mp4"})) == [1, 3, 5, 7]


def test_frames_that_were_deleted_are_taken_again(clip, tmp_path):
    first = reader(tmp_path, num_frames=4, media_dir=str(clip.parent)).read({"video": "clip.mp4"})
    Path(first[2]).unlink()
    again = reader(tmp_path, num_frames=4, media_dir=str(clip.parent)).read({"video": "clip.mp4"})
    assert again == first
    assert shown_numbers(again) == [4, 12, 20, 28]


@pytest.mark.parametrize("left", ["", "[]", '{"fps": 2}'])
def test_times_of_frames_that_were_damaged_are_named_with_the_folder_to_delete(clip, tmp_path, left):
    reader(tmp_path).read({"video": str(clip)})
    (times,) = (tmp_path / "frames").rglob(TIMES)
    times.write_text(left)
    with pytest.raises(BadRow, match=f"what was kept of its frames is damaged, delete {times.parent}"):
        reader(tmp_path).read({"video": str(clip)})
    shutil.rmtree(times.parent)
    assert reader(tmp_path).read({"video": str(clip)})


def test_a_store_that_cannot_be_written_to_is_named_with_the_remedy(clip, tmp_path):
    (tmp_path / "frames").write_text("a file is in the way")
    for video in (str(clip), {"bytes": clip.read_bytes()}):
        with pytest.raises(DataError, match=r"cannot be kept in .*frames: .*Set `dataset.frames_dir`"):
            reader(tmp_path).read({"video": video})


def test_videos_are_counted_while_they_are_decoded_and_by_one_process(clip, tmp_path, capsys, monkeypatch):
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"question": "?", "options": ["a b", "c d"], "answer": 0, "video": video}) + "\n"
                for video in (str(clip), "other.mp4"))
    )  # fmt: skip
    write_clip(tmp_path / "other.mp4", 4)

    def said(folder):
        load_questions(tmp_path / "rows.jsonl", media=MediaSettings(frames_dir=str(tmp_path / folder)))
        return capsys.readouterr()

    first = said("frames")
    assert "Frames taken of 2 videos" in first.err
    assert first.out == said("frames").err == ""
    monkeypatch.setenv("RANK", "1")
    assert said("others").err == ""


def test_a_folder_of_frames_is_taken_in_the_order_of_its_numbers(tmp_path):
    for i in range(12):
        (tmp_path / "clip").mkdir(exist_ok=True)
        square().save(tmp_path / "clip" / f"frame{i}.png")
    (tmp_path / "clip" / "notes.txt").write_text("not a frame")
    found = reader(tmp_path, num_frames=4, fps=3).read({"video": "clip"})
    assert [Path(path).name for path in found] == ["frame1.png", "frame4.png", "frame7.png", "frame10.png"]
    (tmp_path / "clip" / "frame7.png").write_text("broken")
    with pytest.raises(BadRow, match="column `video`: the image cannot be read"):
        reader(tmp_path, num_frames=4).read({"video": "clip"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(BrokenVideoError, match="the folder holds no pictures"):
        frame_files(tmp_path / "empty")


def test_a_list_of_frames_is_taken_like_a_folder_of_them(tmp_path):
    for i in range(12):
        square().save(tmp_path / f"frame{i}.png")
    frames = [f"frame{i}.png" for i in range(12)]
    found = reader(tmp_path, num_frames=4).read({"video": frames})
    assert [Path(path).name for path in found] == ["frame1.png", "frame4.png", "frame7.png", "frame10.png"]
    assert len(reader(tmp_path, num_frames=40).read({"video": frames})) == 12


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="needs a file that the system does not let one read")
def test_a_video_that_the_system_does_not_read_is_a_bad_row(tmp_path):
    with pytest.raises(BadRow, match="column `video`: the video cannot be read: "):
        reader(tmp_path).read({"video": "/proc/self/mem"})


def test_a_video_may_be_bytes(clip, tmp_path):
    found = reader(tmp_path, num_frames=2).read({"video": {"bytes": clip.read_bytes(), "path": "clip.mp4"}})
    assert shown_numbers(found) == [8, 24]
