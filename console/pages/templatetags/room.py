"""What a job asks of a node, and what the queue says of it, in words."""

from django import template

from console.pages.jobs.reasons import said
from console.pages.meters import asked

register = template.Library()
register.filter("asked", asked)
register.filter("said", said)
