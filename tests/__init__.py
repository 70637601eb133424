"""Tests, in folders by what a run costs: unit, infrastructure, integration, e2e."""
