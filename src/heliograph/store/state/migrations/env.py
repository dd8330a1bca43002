"""How Alembic runs a migration: on the connection, and in the transaction, that it is handed.

Alembic takes SQLite for an engine without transactional schema changes. With a BEGIN of our own
it has them, which is what makes a kill in the middle harmless.
"""

from alembic import context

from heliograph.store.state import catalogue

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=catalogue.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
