-- id: ACC19
-- area: account
-- severity: info
-- title: the numbers of posted customer invoices have no gaps
-- versions: *
-- requires: account_move.journal_id account_move.move_type account_move.sequence_number
--   account_move.sequence_prefix account_move.state
-- reason: A gap can mean that an invoice was lost, but invoices deleted or renumbered on purpose
--   leave gaps too, so this is only reported. Odoo: sequence.mixin._set_next_sequence counts up by
--   one.
SELECT journal_id || ' ' || sequence_prefix || ' '
           || (max(sequence_number) - min(sequence_number) + 1 - count(*))
FROM account_move
WHERE state = 'posted' AND move_type = 'out_invoice'
GROUP BY journal_id, sequence_prefix
HAVING max(sequence_number) - min(sequence_number) + 1 <> count(*)
