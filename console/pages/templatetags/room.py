"""What a job asks of a node, in words."""

from django import template

from console.pages.meters import asked

register = template.Library()
register.filter("asked", asked)
