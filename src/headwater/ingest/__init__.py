"""Landing: batch -> contract -> landed rows, quarantine and ledger."""
