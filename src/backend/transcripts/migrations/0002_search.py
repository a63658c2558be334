"""The full-text index, which the database itself keeps in step with the lines; see transcripts/search.py."""

import sqlite3

from django.db import migrations

# Neither letters nor digits nor marks, of the scripts we know: whether PostgreSQL's parser takes them for letters
# depends on the database's locale. ASCII, Latin-1, Armenian, Hebrew, Arabic, Devanagari, the common blocks, emoji.
SEPARATORS = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    r"\u0589\u05be\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff"
    r"\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u30a0\u30fb\ufe00-\ufe0f\U0001f000-\U0001faff"
)
# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han: no spaces between words, so each character is a word by itself and
# what is asked for is a row of them.
UNSPACED = (
    r"\u0e00-\u109f\u1780-\u17ff\u3005-\u3007\u3021-\u302f\u3031-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)

POSTGRESQL = (
    rf"""
    CREATE FUNCTION transcripts_spaced(said text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT regexp_replace(
            regexp_replace(
                normalize(regexp_replace(normalize({{lower}}, NFKD), '[\u0300-\u036f]+', '', 'g'), NFKC),
                '[{SEPARATORS}]+', ' ', 'g'
            ),
            '([{UNSPACED}])', ' \1 ', 'g'
        )
    $$
    """,
    """
    ALTER TABLE transcripts_line
        ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('simple', transcripts_spaced(text))) STORED
    """,
    # Searches never wait for a list of what is pending.
    "CREATE INDEX lines_by_words ON transcripts_line USING gin (words) WITH (fastupdate = off)",
    # The planner's statistics would hold samples of what was said, and keep them when the lines are gone.
    "ALTER TABLE transcripts_line ALTER COLUMN text SET STATISTICS 0",
    "ALTER TABLE transcripts_linerevision ALTER COLUMN text SET STATISTICS 0",
)

POSTGRESQL_BACK = (
    "ALTER TABLE transcripts_linerevision ALTER COLUMN text SET STATISTICS -1",
    "ALTER TABLE transcripts_line ALTER COLUMN text SET STATISTICS -1",
    "ALTER TABLE transcripts_line DROP COLUMN words",
    "DROP FUNCTION transcripts_spaced(text)",
)

SQLITE = (
    # Marks are parts of words: without them those of India would end at each vowel sign.
    """
    CREATE VIRTUAL TABLE transcripts_words USING fts5(
        text, content='transcripts_line', content_rowid='id',
        tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
    )
    """,
    """
    CREATE TRIGGER transcripts_words_insert AFTER INSERT ON transcripts_line BEGIN
        INSERT INTO transcripts_words(rowid, text) VALUES (new.id, new.text);
    END
    """,
    """
    CREATE TRIGGER transcripts_words_delete AFTER DELETE ON transcripts_line BEGIN
        INSERT INTO transcripts_words(transcripts_words, rowid, text) VALUES ('delete', old.id, old.text);
    END
    """,
    """
    CREATE TRIGGER transcripts_words_update AFTER UPDATE OF text ON transcripts_line BEGIN
        INSERT INTO transcripts_words(transcripts_words, rowid, text) VALUES ('delete', old.id, old.text);
        INSERT INTO transcripts_words(rowid, text) VALUES (new.id, new.text);
    END
    """,
    "INSERT INTO transcripts_words(transcripts_words) VALUES ('rebuild')",
)

SQLITE_SECURE_DELETE = "INSERT INTO transcripts_words(transcripts_words, rank) VALUES ('secure-delete', 1)"

SQLITE_BACK = (
    "DROP TRIGGER transcripts_words_update",
    "DROP TRIGGER transcripts_words_delete",
    "DROP TRIGGER transcripts_words_insert",
    "DROP TABLE transcripts_words",
)


def make(_apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        create, *others = POSTGRESQL
        statements = [create.format(lower=_lower(connection)), *others]
    else:
        has_secure_delete = sqlite3.sqlite_version_info >= (3, 42)
        statements = [*SQLITE, *([SQLITE_SECURE_DELETE] if has_secure_delete else [])]
    for statement in statements:
        schema_editor.execute(statement, params=None)


def unmake(_apps, schema_editor):
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in POSTGRESQL_BACK if is_postgresql else SQLITE_BACK:
        schema_editor.execute(statement, params=None)


def _lower(connection):
    """Of all scripts where PostgreSQL was built with ICU, whatever the database's locale; else of the locale's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'")
        return 'lower(said COLLATE "und-x-icu")' if cursor.fetchone() else "lower(said)"


class Migration(migrations.Migration):
    dependencies = [("transcripts", "0001_initial")]

    operations = [migrations.RunPython(make, unmake)]
