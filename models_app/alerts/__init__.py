"""Alerts: rules of the teams' configurations, evaluated by the clock over what the tables know."""
