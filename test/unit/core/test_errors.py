import pickle

import pytest

from autoq.core import errors
from autoq.core.errors import AutoqError, ConfigError

KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, AutoqError)]


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = ConfigError("unknown key 'metrc'", where="job.yaml:3:5", hint="did you mean 'metric'?")
    assert str(error) == "job.yaml:3:5: unknown key 'metrc'\n  → did you mean 'metric'?"
    assert str(ConfigError("plain")) == "plain"


def test_exit_codes_tell_errors_apart() -> None:
    codes = [k.exit_code for k in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 256 for code in codes)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_cross_process_boundaries(kind: type[AutoqError]) -> None:
    again = pickle.loads(pickle.dumps(kind("what", where="there", hint="do this")))
    assert type(again) is kind
    assert (again.message, again.where, again.hint) == ("what", "there", "do this")
    assert str(again) == "there: what\n  → do this"


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not AutoqError])
def test_errors_are_also_what_python_calls_them(kind: type[AutoqError]) -> None:
    assert issubclass(kind, ValueError | RuntimeError | ImportError | NotImplementedError)
