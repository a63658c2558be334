import pytest

from speech.errors import SettingsError
from speech.settings import SETTINGS, read_settings


def test_an_empty_environment_is_enough() -> None:
    settings = read_settings({})
    assert (settings.host, settings.port, settings.api_key) == ("127.0.0.1", 8001, "")


def test_the_newline_of_a_mounted_secret_is_not_part_of_the_key() -> None:
    assert read_settings({"SPEECH_API_KEY": "key\n"}).api_key == "key"


def test_the_key_is_not_shown_by_accident() -> None:
    assert "hidden" not in repr(read_settings({"SPEECH_API_KEY": "hidden"}))


@pytest.mark.parametrize("name", ["SPEECH_PORT", "SPEECH_SESSIONS"])
@pytest.mark.parametrize("value", ["0", "-1", "99999999999999999999", "x", "1.5", "²"])
def test_a_number_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value})


def test_every_setting_says_what_it_is_for() -> None:
    assert all(setting.help for setting in SETTINGS)
