DROP TABLE horizon;
