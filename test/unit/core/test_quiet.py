import logging
import threading

import pytest

from autoq.core.quiet import quiet


@pytest.fixture
def logger(caplog):
    caplog.set_level(logging.DEBUG, "quiet.example")
    return logging.getLogger("quiet.example")


def test_notes_of_this_thread_are_dropped(logger, caplog):
    with quiet(logger.name):
        logger.info("a note")
    assert not caplog.records


def test_warnings_pass(logger, caplog):
    with quiet(logger.name):
        logger.warning("a warning")
    assert [r.message for r in caplog.records] == ["a warning"]


def test_other_threads_are_heard(logger, caplog):
    with quiet(logger.name):
        thread = threading.Thread(target=logger.info, args=("from elsewhere",))
        thread.start()
        thread.join()
    assert [r.message for r in caplog.records] == ["from elsewhere"]


def test_it_ends_with_its_block(logger, caplog):
    with pytest.raises(KeyError), quiet(logger.name):
        raise KeyError
    logger.info("after")
    assert [r.message for r in caplog.records] == ["after"]
    assert not logger.filters
