"""Languages as Whisper and its successors write them: ISO 639-1 without regions, and names in English.

Source: the table of Whisper's tokenizer, https://github.com/openai/whisper/blob/main/whisper/tokenizer.py
"""

import re

TABLE = (
    "en:english zh:chinese de:german es:spanish ru:russian ko:korean fr:french ja:japanese pt:portuguese "
    "tr:turkish pl:polish ca:catalan nl:dutch ar:arabic sv:swedish it:italian id:indonesian hi:hindi "
    "fi:finnish vi:vietnamese he:hebrew uk:ukrainian el:greek ms:malay cs:czech ro:romanian da:danish "
    "hu:hungarian ta:tamil no:norwegian th:thai ur:urdu hr:croatian bg:bulgarian lt:lithuanian la:latin "
    "mi:maori ml:malayalam cy:welsh sk:slovak te:telugu fa:persian lv:latvian bn:bengali sr:serbian "
    "az:azerbaijani sl:slovenian kn:kannada et:estonian mk:macedonian br:breton eu:basque is:icelandic "
    "hy:armenian ne:nepali mn:mongolian bs:bosnian kk:kazakh sq:albanian sw:swahili gl:galician "
    "mr:marathi pa:punjabi si:sinhala km:khmer sn:shona yo:yoruba so:somali af:afrikaans oc:occitan "
    "ka:georgian be:belarusian tg:tajik sd:sindhi gu:gujarati am:amharic yi:yiddish lo:lao uz:uzbek "
    "fo:faroese ht:haitian_creole ps:pashto tk:turkmen nn:nynorsk mt:maltese sa:sanskrit "
    "lb:luxembourgish my:myanmar bo:tibetan tl:tagalog mg:malagasy as:assamese tt:tatar haw:hawaiian "
    "ln:lingala ha:hausa ba:bashkir jv:javanese su:sundanese yue:cantonese"
)
NAMES = {name.replace("_", " "): code for code, name in (entry.split(":") for entry in TABLE.split())}
CODES = frozenset(NAMES.values())
ALIASES = {"nb": "no", "iw": "he", "in": "id", "ji": "yi", "jw": "jv", "fil": "tl", "cmn": "zh", "mo": "ro"}
"""Other codes of the same languages."""


def language_of(tag: str) -> str:
    """A language to ask for: `pt-BR` and `pt_br` become `pt`; empty, so that it is detected, for what is no such."""
    code = re.split("[-_]", tag.strip().lower())[0]
    code = ALIASES.get(code, code)
    return code if code in CODES else ""


def language_named(name: str) -> str:
    """A language that was detected, as a code: `english` and `en` become `en`; empty for what is none."""
    name = name.strip().lower()
    return NAMES.get(name) or language_of(name)
