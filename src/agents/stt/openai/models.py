"""Models, and what each of them takes."""

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_HOST = "api.openai.com"

WHISPER_1 = "whisper-1"
GPT_LIVE_TRANSCRIBE = "gpt-live-transcribe"

HINTED = ("gpt-transcribe", "gpt-live-transcribe")
"""These take `keywords` and `languages`; the others a `prompt` and one `language`."""
LIVE = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""These write while they listen; the others begin at a commit."""
WITHOUT_PROMPT = ("gpt-realtime-whisper", "gpt-4o-transcribe-diarize")

VERBOSE = "verbose_json"
"""The answer tells of each segment how sure the model is, and the language it heard."""
PLAIN = "json"


def response_format_of(model: str) -> str:
    """Whisper alone can be unsure about silence, and says so in the one format that other models refuse."""
    return VERBOSE if "whisper" in model.lower() else PLAIN


def takes_keywords(model: str) -> bool:
    """See HINTED."""
    return model.startswith(HINTED)


def takes_prompt(model: str) -> bool:
    """Whether there is a place for words to expect and what was said before."""
    return not model.startswith(WITHOUT_PROMPT)


def writes_while_it_listens(model: str) -> bool:
    """See LIVE."""
    return model.startswith(LIVE)
