"""Names of Riva's languages and of NVIDIA's hosted service."""

HOSTED = "grpc.nvcf.nvidia.com:443"
HOSTED_FUNCTION_ID = "1598d209-5e27-4d3c-8079-4751568b1081"
"""Of parakeet-1.1b-ctc-en-us, as livekit-plugins-nvidia has it."""

DEFAULT_LANGUAGE = "en-US"
LANGUAGES = (
    "en-US ar-AR cs-CZ da-DK de-DE es-US fr-FR he-IL hi-IN it-IT ja-JP ko-KR nb-NO nl-NL nn-NO pl-PL pt-BR ru-RU sv-SE "
    "th-TH tr-TR vi-VN zh-CN"
)
"""Riva knows a language by its region; these are meant when none is given."""
TAG_OF_LANGUAGE = {tag.split("-")[0]: tag for tag in LANGUAGES.split()} | {"no": "nb-NO"}
MULTI = "multi"
"""Some models of several languages are asked for so."""

BOOST = 20.0
"""The least that NVIDIA recommends; from 20 to 100."""
