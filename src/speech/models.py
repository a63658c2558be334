"""The names the API uses for what is bundled. No import of an engine: the server process holds none."""

ENGINE = "pocketsphinx"
MODEL = "pocketsphinx-en-us"
LANGUAGES = ("en",)
