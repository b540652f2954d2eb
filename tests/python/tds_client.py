"""Signs in to a TDS server with python-tds and checks types, parameters, errors and transactions.

Usage: tds_client.py PORT USER PASSWORD DATABASE. Exit code 0: all is well; 77: python-tds is not installed.
The server holds SambaPOS's tables with the worked examples of its reports.
"""

import datetime
import decimal
import sys

try:
    import pytds
except ImportError:
    print("skipped: python-tds is not installed (pip install python-tds)")
    sys.exit(77)


def main(port, user, password, database):
    settings = dict(port=port, user=user, password=password, database=database, timeout=20, login_timeout=20)
    with pytds.connect("127.0.0.1", autocommit=True, **settings) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 AS one, @@SERVERNAME, CAST(N'Caf\u00e9' AS nvarchar(10))")
            assert cursor.fetchall() == [(1, "DEMO-TILL", "Caf\u00e9")]

            cursor.execute("SELECT Id, [Date], TotalAmount, IsClosed, TicketTags FROM Tickets ORDER BY Id")
            rows = cursor.fetchall()
            assert len(rows) == 7, rows
            assert rows[0][1] == datetime.datetime(2026, 3, 1, 12, 5), rows[0]
            assert isinstance(rows[0][2], decimal.Decimal), rows[0]
            assert rows[0][3] is True and rows[3][3] is False
            assert rows[1][4] is None and rows[0][4].startswith('[{"TN"')

            cursor.execute(
                "SELECT COUNT(*) FROM Tickets WHERE [Date] >= %s AND IsClosed = %s AND Id > %s",
                (datetime.datetime(2026, 3, 1), 1, 1),
            )
            assert cursor.fetchall() == [(4,)]

            cursor.execute("SELECT %s, %s, %s", (decimal.Decimal("-12.345"), "x" * 50000, None))
            assert cursor.fetchall() == [(decimal.Decimal("-12.345"), "x" * 50000, None)]

            cursor.execute("SELECT t.name FROM sys.tables t WHERE t.name LIKE N'order%' ORDER BY t.name")
            assert ("Orders",) in cursor.fetchall()

            try:
                cursor.execute("SELECT * FROM Nowhere")
                raise AssertionError("no error for a missing table")
            except pytds.Error as error:
                assert "Invalid object name 'Nowhere'" in str(error), error
            cursor.execute("SELECT 2")
            assert cursor.fetchone() == (2,)

    with pytds.connect("127.0.0.1", autocommit=False, **settings) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*), @@TRANCOUNT FROM Orders")
            assert cursor.fetchall() == [(20, 1)]
        connection.commit()

    try:
        pytds.connect("127.0.0.1", **{**settings, "password": "wrong"})
        raise AssertionError("a wrong password was accepted")
    except pytds.Error as error:
        assert "Login failed" in str(error), error
    print("python-tds", pytds.__version__ if hasattr(pytds, "__version__") else "", "agrees")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
