"""The record of meetings over HTTP: of the room's own now, and of all an account may see."""

from django.urls import path

from backend.downloads.views import DownloadView
from backend.records import accounts, exports, segments
from backend.records.me import MeView
from backend.records.transcript import TranscriptView

urlpatterns = [
    path("rooms/<str:room>/transcript/", TranscriptView.as_view()),
    path("rooms/<str:room>/me/", MeView.as_view()),
    path("rooms/<str:room>/segments/", segments.SegmentsView.as_view()),
    path("rooms/<str:room>/segments/<str:segment>/", segments.SegmentView.as_view()),
    path("transcripts/", accounts.TranscriptsView.as_view()),
    path("transcripts/<str:transcript>/", accounts.TranscriptView.as_view()),
    path("rooms/<str:room>/transcript/export/", exports.RoomExportView.as_view()),
    path("transcripts/<str:transcript>/export/", exports.TranscriptExportView.as_view()),
    path("downloads/<str:token>/", DownloadView.as_view(), name="download"),
]
