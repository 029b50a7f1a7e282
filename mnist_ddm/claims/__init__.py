"""The paper's claims: the ledger, the cells that decide, the judge, the words."""
