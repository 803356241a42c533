"""Events: new prices, alarms, plans and alerts as rows of one table, for whoever acts on them."""
