from django.urls import path

from guestbook import views

urlpatterns = [path("", views.notes), path("health", views.health)]
