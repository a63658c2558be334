"""What tests export."""

from backend.exports.said import Heading, Said

BEGAN_MS = 1_790_000_000_000
HEADING = Heading(room="weekly", starts_at_ms=BEGAN_MS, language="en")
OF_MANY_LANGUAGES = Heading(room="weekly", starts_at_ms=BEGAN_MS, language="")


def said(
    text: str,
    *,
    at_ms: int = 0,
    lasts_ms: int = 2_000,
    speaker: str = "ada",
    name: str | None = None,
    language: str = "en",
    sequence: int = 1,
    engine: str = "embedded",
) -> Said:
    """`at_ms` from BEGAN_MS."""
    return Said(
        sequence=sequence,
        start_ms=BEGAN_MS + at_ms,
        end_ms=BEGAN_MS + at_ms + lasts_ms,
        speaker_identity=speaker,
        speaker_name=speaker.capitalize() if name is None else name,
        language=language,
        text=text,
        engine=engine,
        id=f"00000000-0000-4000-8000-{sequence:012d}",
    )


# What must do nothing in any format, and be read in all of them.
HOSTILE = (
    "an arrow --> in the middle",
    "00:00:01.000 --> 00:00:09.000",
    "1\n00:00:01,000 --> 00:00:09,000\nforged",
    "<script>alert(1)</script>",
    "<v Mallory>not Mallory</v>",
    "</v></lang> & &amp; &lt;b&gt; <b>bold</b>",
    "{\\an8}{\\b1}above\\Nbelow",
    "first\n\nsecond after a blank line",
    "WEBVTT",
    "NOTE a comment that is none",
    "STYLE\n::cue{color:red}",
    "REGION\nid:x",
    "2024",
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1\r\n=2+2",
    "NUL\0and\x1b[31mcontrols\x07 bell\x08",
    "\u202egnissim si thgir eht\u202c all right",
    "\u2066isolated\u2069 \u2067too\u2069",
    "zero\u200bwidth \ufeffmark \u2060joiner soft\u00adhyphen",
    "line\u2028separator paragraph\u2029separator next\u0085line",
    "not characters \ufffe\uffff\ud800",
    "family 👩‍👩‍👧‍👦 and 🏳️‍🌈 and 🇩🇪🇫🇷 and 👍🏽",
    "e\u0301\u0301\u0301 combining, क्षत्रिय, ภาษาไทย",
    "שלום עולם, مرحبا بالعالم",
    "今日は良い天気ですね。明日の会議は午後三時から始まります、遅れないでください。",
    "w" * 100,
    "an ordinary sentence that is longer than what fits on two lines of a screen, so that it has to be shared out, "
    "and then it even goes on for a while.",
)
