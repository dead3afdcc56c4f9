"""How a warm start is compared with training from scratch."""

from __future__ import annotations

from pathlib import Path

from benchmarks.warm_start import METRIC, compare, draw, report, without_newest


def curve(*values: float) -> list[dict[str, float]]:
    return [{"epoch": n, METRIC: value} for n, value in enumerate(values, start=1)]


def test_when_each_is_as_good() -> None:
    scratch = curve(0.1, 0.2, 0.25, 0.3, 0.28)
    assert compare(scratch, curve(0.2, 0.3, 0.4)) == {
        "goal": 0.3,
        "scratch_at": 4,
        "warm_at": 2,
        "share": 0.5,
    }
    never = compare(scratch, curve(0.29, 0.29))
    assert (never["warm_at"], never["share"]) == (None, None)


def test_report_and_plot(tmp_path: Path) -> None:
    scratch = curve(0.1, 0.3)
    results = [
        {"seed": 1, "scratch": scratch, "warm": warm, **compare(scratch, warm)}
        for warm in (curve(0.3, 0.2), curve(0.1, 0.2))
    ]
    assert [" ".join(line.split()) for line in report(results)] == [
        "seed hr_10_eval from scratch warm start share",
        "1 0.3000 epoch 2 epoch 1 0.50",
        "1 0.3000 epoch 2 never",
    ]
    draw(results, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_data_as_it_was_before(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = [f"{user}\t1\t3\t{time}\n" for user, time in enumerate([50, 10, 90, 30, 70])]
    (data / "u.data").write_text("".join(rows))
    (data / "u.item").write_bytes(b"1|\xe9\n")
    without_newest(data, 0.4, tmp_path / "before")
    kept = (tmp_path / "before" / "u.data").read_text().splitlines(keepends=True)
    assert kept == [rows[0], rows[1], rows[3]]
    assert (tmp_path / "before" / "u.item").read_bytes() == b"1|\xe9\n"
