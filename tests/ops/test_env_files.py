"""env.d holds settings that exist, agrees with itself, and keeps no secret of anybody's."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.runtime import settings as agents_settings
from backend.config import safety
from backend.config.settings import env as backend_env
from speech import settings as speech_settings

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("development", "production.dist")
KNOWN = {
    "backend": {*backend_env.scheme, *(f"{name}_FILE" for name in backend_env.scheme)},
    "subtitles": {setting.name for setting in agents_settings.SETTINGS},
    "speech": {setting.name for setting in speech_settings.SETTINGS},
    "livekit": {"LIVEKIT_KEYS", "NODE_IP"},
    "postgres": {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"},
}
DJANGO_SECRETS = ("DJANGO_SECRET_KEY", "INTERNAL_API_SECRET", "LIVEKIT_API_SECRET", "API_KEY_ENCRYPTION_KEY")


def read(folder: Path) -> dict[str, dict[str, str]]:
    """The variables of each file, by the service it is for."""
    return {path.stem: variables(path) for path in folder.glob("*.env")}


def variables(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture(params=FOLDERS)
def files(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    return read(ROOT / "env.d" / request.param)


def test_each_service_has_its_file(files: Mapping[str, Mapping[str, str]]) -> None:
    assert set(files) == set(KNOWN)


def test_only_settings_that_exist_are_set(files: Mapping[str, Mapping[str, str]]) -> None:
    for name, held in files.items():
        assert not set(held) - KNOWN[name], name


def test_what_a_worker_cannot_do_without_is_set(files: Mapping[str, Mapping[str, str]]) -> None:
    wanted = {setting.name for setting in agents_settings.SETTINGS if setting.default is None}

    assert wanted <= set(files["subtitles"])


def test_services_agree_on_what_they_share(files: Mapping[str, Mapping[str, str]]) -> None:
    backend, subtitles, postgres = files["backend"], files["subtitles"], files["postgres"]

    for name in set(backend) & set(subtitles):
        assert backend[name] == subtitles[name], name
    assert (
        files["livekit"]["LIVEKIT_KEYS"] == f"{backend['LIVEKIT_API_KEY']}: {backend['LIVEKIT_API_SECRET']}"
    )
    account = f"{postgres['POSTGRES_USER']}:{postgres['POSTGRES_PASSWORD']}"
    assert backend["DATABASE_URL"] == f"postgres://{account}@postgres:5432/{postgres['POSTGRES_DB']}"
    assert subtitles["SPEECH_URL"].endswith(f":{files['speech']['SPEECH_PORT']}")


def test_livekits_webhooks_are_signed_with_our_key(files: Mapping[str, Mapping[str, str]]) -> None:
    assert f"api_key: {files['backend']['LIVEKIT_API_KEY']}\n" in (ROOT / "docker/livekit.yaml").read_text()


def test_the_example_of_production_holds_no_secret() -> None:
    held = read(ROOT / "env.d/production.dist")
    secrets = [held["backend"][name] for name in DJANGO_SECRETS] + [held["postgres"]["POSTGRES_PASSWORD"]]

    assert all(re.fullmatch(r"<[a-z]+>", secret) for secret in secrets)
    assert len(set(secrets)) == len(secrets)


def start(backend: Mapping[str, str]) -> None:
    """The part of starting that judges secrets."""
    safety.refuse_unsafe_settings(
        is_local=backend["DJANGO_ENV"] == "local",
        is_debug=False,
        hands_out_tokens=False,
        secrets={name: backend[name] for name in DJANGO_SECRETS},
    )


def test_production_does_not_start_before_its_secrets_are_filled_in() -> None:
    with pytest.raises(safety.ImproperlyConfigured):
        start(read(ROOT / "env.d/production.dist")["backend"])


def test_the_known_secrets_of_development_are_for_development_alone() -> None:
    with pytest.raises(safety.ImproperlyConfigured):
        start({**read(ROOT / "env.d/development")["backend"], "DJANGO_ENV": "production"})


def test_the_commands_of_the_deployment_page_make_a_production_that_starts(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "env.d", tmp_path / "env.d", ignore=shutil.ignore_patterns("production"))
    page = (ROOT / "docs/how-to/deploy.md").read_text()
    [commands] = re.findall(r"^```sh\n(cp -r env\.d.*?)^```", page, flags=re.MULTILINE | re.DOTALL)

    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True)

    filled = read(tmp_path / "env.d/production")
    start(filled["backend"])
    agents_settings.read_settings(filled["subtitles"])
    assert not any("<" in value for held in filled.values() for value in held.values())
    assert (tmp_path / "env.d/production").stat().st_mode & 0o077 == 0
