from django.urls import path

from backend.subtitles import views

urlpatterns = [
    path("config/", views.ConfigView.as_view()),
    path("rooms/<str:room>/subtitles/", views.SubtitlesView.as_view()),
    path("rooms/<str:room>/start-subtitle/", views.MeetStartView.as_view()),
    path("rooms/<str:room>/stop-subtitle/", views.MeetStopView.as_view()),
]
