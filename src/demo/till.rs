//! The whole demo till in one value: tables, server, and the restaurant that trades on them.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::civil::Date;

use super::{
    Engine, EngineOptions, Server, ServerOptions,
    fault::Faults,
    schema,
    trade::{Trade, TradeOptions},
};
use crate::{config::Encryption, error::Result};

/// How to start a demo till.
#[derive(Clone, Debug)]
pub struct TillOptions {
    /// TCP port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// SQL login.
    pub user: String,
    /// Its password.
    pub password: String,
    /// What the server does about TLS.
    pub encryption: Encryption,
    /// What the database says about itself.
    pub engine: EngineOptions,
    /// Days of trade behind it.
    pub days: u32,
    /// Tickets on an average day.
    pub tickets_per_day: u32,
    /// Equal seeds give equal trade.
    pub seed: u64,
    /// First business day.
    pub first_day: Date,
    /// Whether tickets and lines have uids (V5) or not (V3).
    pub uids: bool,
}

impl Default for TillOptions {
    fn default() -> Self {
        let trade = TradeOptions::default();
        Self {
            port: 0,
            user: "tillvault".into(),
            password: "demo".into(),
            encryption: Encryption::Off,
            engine: EngineOptions { allow_snapshot_isolation: true, ..EngineOptions::default() },
            days: 0,
            tickets_per_day: trade.tickets_per_day,
            seed: trade.seed,
            first_day: trade.first_day,
            uids: trade.uids,
        }
    }
}

/// A till on loopback that trades when told to. Ends when dropped.
#[derive(Debug)]
pub struct DemoTill {
    engine: Arc<Engine>,
    trade: Mutex<Trade>,
    server: Server,
}

impl DemoTill {
    /// Makes the tables, opens the restaurant, trades `days` days and listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Source` when the port cannot be had; `Bug` when the embedded database refuses something.
    pub async fn start(options: TillOptions) -> Result<Self> {
        let engine = Engine::new(&schema::tables()?, options.engine)?;
        let mut trade = Trade::open(
            engine.connection()?,
            TradeOptions {
                seed: options.seed,
                tickets_per_day: options.tickets_per_day,
                first_day: options.first_day,
                uids: options.uids,
            },
        )?;
        for _ in 0..options.days {
            trade.trade_day()?;
        }
        engine.set_clock(trade.now());
        let server = Server::start(
            engine.clone(),
            ServerOptions {
                port: options.port,
                user: options.user,
                password: options.password.into(),
                encryption: options.encryption,
                ..ServerOptions::default()
            },
        )
        .await?;
        Ok(Self { engine, trade: Mutex::new(trade), server })
    }

    /// TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The tables.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What breaks on demand.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.server.faults()
    }

    /// The restaurant. When the guard goes, the till's clock follows the trade. A frozen till thaws.
    #[must_use]
    pub fn trade(&self) -> TradeGuard<'_> {
        self.engine.thaw();
        TradeGuard { trade: self.trade.lock().unwrap_or_else(PoisonError::into_inner), engine: &self.engine }
    }

    /// Copies the trade so far until there are so many order lines or a few more; their number. Where there is no trade
    /// yet, some days are traded first. For benchmarks: a million lines take seconds (in an optimised build), and
    /// the till stays consistent; see [`Trade::multiply`].
    ///
    /// # Errors
    /// `Bug` when the embedded database refuses something.
    pub fn grow(&self, order_lines: u64) -> Result<u64> {
        let mut trade = self.trade();
        let lines = |trade: &Trade| u64::try_from(trade.last_id("Orders")).unwrap_or_default();
        while lines(&trade) < (order_lines / 50).clamp(1, 25_000) {
            trade.trade_day()?;
        }
        let times = order_lines.div_ceil(lines(&trade).max(1));
        if times > 1 {
            trade.multiply(u32::try_from(times - 1).unwrap_or(u32::MAX))?;
        }
        Ok(lines(&trade))
    }

    /// Stops listening and closes all connections.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Exclusive use of the restaurant.
#[derive(Debug)]
pub struct TradeGuard<'a> {
    trade: MutexGuard<'a, Trade>,
    engine: &'a Engine,
}

impl Deref for TradeGuard<'_> {
    type Target = Trade;

    fn deref(&self) -> &Trade {
        &self.trade
    }
}

impl DerefMut for TradeGuard<'_> {
    fn deref_mut(&mut self) -> &mut Trade {
        &mut self.trade
    }
}

impl Drop for TradeGuard<'_> {
    fn drop(&mut self) {
        self.engine.set_clock(self.trade.now());
    }
}
