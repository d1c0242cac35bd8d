"""What a result prints."""

from __future__ import annotations

import toy_job

from autoq.run import run_job
from autoq.tuning.outcome import SilentListener


def test_a_result_prints_in_one_line_what_was_decided_and_where_it_lies(tmp_path):
    result = run_job(toy_job.write_job(tmp_path, toy_job.toy_chain()), SilentListener())
    text = repr(result)
    assert "\n" not in text
    assert len(text) < 200 + len(str(result.folder))
    assert str(result.folder) in text
    assert result.best is not None
    assert f"accepted trial {result.best.number}, latency {result.best.latency.ratio.value:.3f} of fp32" in text
