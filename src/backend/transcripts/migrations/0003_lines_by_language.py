from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("transcripts", "0002_search")]

    operations = [
        migrations.AddIndex(
            model_name="line",
            index=models.Index(fields=["meeting", "language", "person"], name="lines_by_language"),
        ),
    ]
