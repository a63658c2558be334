from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("leases", "0004_livekit_lost"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="reported_engine",
            field=models.CharField(blank=True, max_length=64),
        ),
    ]
