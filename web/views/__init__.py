"""What is answered: pages, actions, JSON, and what operators watch."""
