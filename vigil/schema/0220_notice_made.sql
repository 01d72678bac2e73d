-- How busy officers are just now is asked whenever an alert is for one of them (decision 0014).
CREATE INDEX notice_made ON notice (made_at);
