"""Where a setting comes from, and what is said about a wrong one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slurmtorc.errors import InvalidValue
from slurmtorc.settings import DEFAULT_URL, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".config/torc").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def env(home: Path, **values: str) -> dict[str, str]:
    return {"HOME": str(home)} | values


def test_the_nearer_word_wins(home: Path) -> None:
    assert load(env(home)).url == DEFAULT_URL
    (home / ".config/torc/config.toml").write_text('[client]\napi_url = "from-user"\n')
    assert load(env(home)).url == "from-user"
    (home / "work/torc.toml").write_text('[store]\nurl = "from-here"\n')
    assert load(env(home)).url == "from-here"
    assert load(env(home, TORC_STORE__URL="from-key")).url == "from-key"
    both = env(home, TORC_STORE__URL="from-key", TORC_STORE_URL="from-store")
    assert load(both).url == "from-store"
    assert load(both | {"TORC_API_URL": "from-api"}).url == "from-api"
    assert load(both | {"TORC_API_URL": "from-api"}, url="from-option").url == "from-option"
    assert load(both, url=None).url == "from-store"


def test_keys_of_sections_and_their_types(home: Path) -> None:
    (home / "work/torc.toml").write_text(
        '[client]\nformat = "json"\n[client.run]\noutput_dir = "out"\nnum_cpus = 3\n'
        "memory_gb = 2\n[slurm]\nrate = 0.5\nburst = 4\n[client.watch]\nunknown_to_us = 1\n"
    )
    settings = load(env(home, TORC_CLIENT__RUN__NUM_CPUS="5"))
    assert (settings.format, settings.output_dir, settings.num_cpus) == ("json", "out", 5)
    assert (settings.memory_gb, settings.slurm_rate, settings.slurm_burst) == (2, 0.5, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[client\n", "torc.toml is not TOML"),
        ('[client]\nformat = "xml"\n', "write table or json"),
        ('[client.run]\nnum_cpus = "4"\n', "client.run.num_cpus is '4'; write a whole number"),
        ("[client.run]\nnum_cpus = true\n", "client.run.num_cpus is True"),
        ("[client.run]\nnum_cpus = -1\n", "num_cpus is -1; write a number of 0 or more"),
        ("[slurm]\nrate = 0\n", "must be more than 0"),
    ],
)
def test_a_wrong_file_is_one_clear_line(home: Path, text: str, said: str) -> None:
    (home / "work/torc.toml").write_text(text)
    with pytest.raises(InvalidValue) as raised:
        load(env(home))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_wrong_variable_is_one_clear_line(home: Path) -> None:
    said = "TORC_CLIENT__RUN__NUM_CPUS is 'many'; write a whole number"
    with pytest.raises(InvalidValue, match=said):
        load(env(home, TORC_CLIENT__RUN__NUM_CPUS="many"))


def test_an_unreadable_file_is_one_clear_line(home: Path) -> None:
    (home / "work/torc.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidValue, match=r"torc\.toml cannot be read"):
        load(env(home))
