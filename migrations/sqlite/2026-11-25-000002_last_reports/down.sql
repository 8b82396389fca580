DROP TABLE last_reports;
